"""Pace of training, and the time that it waits for its data."""

import time
from typing import Any

import lightning.pytorch as pl
from typing_extensions import override


class DataWait(pl.Callback):
    """Logger of ``train/data_wait``: the fraction of an optimizer step's time without a batch to train on.

    Wait time runs from the end of one batch to the start of the next: reading, transfer and degradation.
    The wait for a run's first batch and waits that contain a validation or the writing of a checkpoint are
    excluded. Each process logs its own fraction.

    The callback also logs ``train/samples_per_second``: clips of the optimizer step, of all processes
    together, in the same time.

    ``waited`` and ``worked`` are seconds since the last optimizer step, ``clips`` the clips that this process
    took in them; only the hooks of a batch write them.
    """

    def __init__(self) -> None:
        self.waited = self.worked = 0.0
        self.clips = 0
        self._steps = 0
        self._began = 0.0
        self._ended: float | None = None

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.waited, self.worked, self.clips = 0.0, 0.0, 0
        self._steps, self._ended = trainer.global_step, None

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._began = time.perf_counter()
        if self._ended is not None:
            self.waited += self._began - self._ended

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._ended = time.perf_counter()
        self.worked += self._ended - self._began
        self.clips += len(batch["number"])
        if trainer.global_step > self._steps:  # the last batch of an optimizer step
            seconds, clips = self.waited + self.worked, self.clips * trainer.world_size
            found = {"data_wait": self.waited / seconds, "samples_per_second": clips / seconds}
            pl_module.log_dict({f"train/{name}": value for name, value in found.items()}, batch_size=1)
            self.waited, self.worked, self.clips = 0.0, 0.0, 0
            self._steps = trainer.global_step

    @override
    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._ended = None

    @override
    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._ended = None

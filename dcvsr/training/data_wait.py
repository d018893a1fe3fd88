"""How long training waits for its data."""

import time
from typing import Any

import lightning.pytorch as pl


class DataWait(pl.Callback):
    """Log ``train/data_wait``: the fraction of an optimizer step's time in which it had no batch to train on.

    It is waited from the end of one batch to the start of the next: for reading, transfer and degradation.
    Left out are the wait for a run's first batch, and those in which a validation ran or a checkpoint was
    written. A process logs its own.

    ``waited``, ``worked``: seconds since the last optimizer step, written by the hooks of a batch alone.
    """

    def __init__(self) -> None:
        self.waited = self.worked = 0.0
        self._steps = 0
        self._began = 0.0
        self._ended: float | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.waited = self.worked = 0.0
        self._steps, self._ended = trainer.global_step, None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._began = time.perf_counter()
        if self._ended is not None:
            self.waited += self._began - self._ended

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._ended = time.perf_counter()
        self.worked += self._ended - self._began
        if trainer.global_step > self._steps:  # the batches of a step but its last only add to its gradient
            pl_module.log("train/data_wait", self.waited / (self.waited + self.worked), batch_size=1)
            self.waited = self.worked = 0.0
            self._steps = trainer.global_step

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._ended = None

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._ended = None

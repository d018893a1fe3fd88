"""Saving of a checkpoint when a cluster is about to stop the run."""

import signal
import threading
from types import FrameType
from typing import Any

import lightning.pytorch as pl
import torch
from typing_extensions import override

from dcvsr.training.checkpoints import Checkpoints

SIGNALS = signal.SIGTERM, signal.SIGUSR1
"""Signals of torchrun and most clusters, and of SLURM for ``--signal=USR1@SECONDS``."""


class Preempted(Exception):
    """End of a run that a signal stopped; a checkpoint is saved.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


class SaveOnSignal(pl.Callback):
    """Callback that answers `SIGNALS` with a checkpoint and `Preempted`, in all processes at once.

    One process may get the signal and others not. They agree before each batch, also of a part of a step, and
    after each validation clip. The gradients of a part of a step are left out; a resumed run computes them
    again. Lightning's own answer to SIGTERM waits for other processes inside of the signal handler, and its
    answer to SIGUSR1 writes a file that ``resume`` does not know; this callback replaces both.

    It comes after `EMA`, which restores the trained weights of an interrupted validation.
    """

    def __init__(self) -> None:
        self._received = 0

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self._receive)  # Lightning restores the handlers before at the end

    def _receive(self, number: int, _: FrameType | None) -> None:
        self._received = number

    def _agree(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        received = torch.tensor(self._received, device=module.device)
        received = trainer.strategy.reduce(received, reduce_op="max")
        if number := int(received):
            raise Preempted(number)

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._agree(trainer, pl_module)

    @override
    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._agree(trainer, pl_module)

    @override
    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any, **__: Any
    ) -> None:
        self._agree(trainer, pl_module)

    @override
    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        if isinstance(exception, Preempted):
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, Checkpoints):
                    callback.save(trainer)

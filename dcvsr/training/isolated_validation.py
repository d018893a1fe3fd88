"""Validation that leaves the global random generators as they were."""

from contextlib import ExitStack

import lightning.pytorch as pl
from lightning.pytorch.utilities.seed import isolate_rng
from typing_extensions import override


class IsolatedValidation(pl.Callback):
    """Callback that restores the states of torch, CUDA, NumPy and Python after each validation.

    Metrics and networks of others may draw from them. Training then continues as without a validation.
    """

    def __init__(self) -> None:
        self._validation = ExitStack()

    @override
    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._validation.enter_context(isolate_rng())

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._validation.close()

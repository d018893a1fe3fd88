"""Norms of trained and frozen weights."""

from collections.abc import Iterable, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from typing_extensions import override

from dcvsr.training.sharding import whole


class WeightNorms(pl.Callback):
    """Logger of the denoiser's Euclidean norms, ``weights/trained_spatial``, ``weights/frozen_temporal`` etc.

    Norms are of the weights after an optimizer step, over all shards of a sharded network.

    Args:
        temporal: names of modules whose weights are temporal; all other weights are spatial.
        every: optimizer steps from one measurement to the next; the first is after a run's first step.
    """

    def __init__(self, temporal: Sequence[str], every: int) -> None:
        self.temporal = frozenset(temporal)
        self.every = every
        self._next = 0

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._next = trainer.global_step + 1

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step < self._next:
            return
        self._next += self.every
        norms = {f"weights/{name}": norm(group) for name, group in self.groups(pl_module.denoiser).items()}
        for logger in trainer.loggers:
            logger.log_metrics({name: value.item() for name, value in norms.items()}, trainer.global_step - 1)

    def groups(self, network: torch.nn.Module) -> dict[str, list[Tensor]]:
        """Return the weights of ``network`` by group; only groups with weights are included."""
        found: dict[str, list[Tensor]] = {}
        for name, weight in network.named_parameters():
            kind = "trained" if weight.requires_grad else "frozen"
            place = "spatial" if self.temporal.isdisjoint(name.split(".")) else "temporal"
            found.setdefault(f"{kind}_{place}", []).append(weight)
        return found


@torch.no_grad()
def norm(tensors: Iterable[Tensor]) -> Tensor:
    """Compute the Euclidean norm over all entries; shards of other processes are included."""
    return whole(torch.nn.utils.get_total_norm([tensor.detach() for tensor in tensors]))

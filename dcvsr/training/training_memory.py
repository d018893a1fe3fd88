"""Memory of training, by kind."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.utils._python_dispatch import is_traceable_wrapper_subclass
from typing_extensions import override

from dcvsr.training.ema import EMA

GB = 1e9


class TrainingMemory(pl.Callback):
    """Logger of this process's memory after an optimizer step, in GB.

    - ``memory/weights``: all networks of the upscaler, frozen ones included, and what else the module trains.
    - ``memory/gradients``, ``memory/optimizer``: of what is trained.
    - ``memory/average``: the averaged weights, with `EMA`.
    - ``memory/peak`` on a GPU: the most that tensors took during the step's last batch.
    - ``memory/resident`` elsewhere: the process's resident memory, where the system reports it.

    Of sharded tensors only the shards of this process count.

    Args:
        every: optimizer steps from one measurement to the next; the first is after a run's first step.
    """

    def __init__(self, every: int) -> None:
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
        found = {kind: stored(tensors) for kind, tensors in kinds(trainer, pl_module).items()}
        found |= used(pl_module.device)
        for logger in trainer.loggers:
            logger.log_metrics(
                {f"memory/{kind}": size / GB for kind, size in found.items()}, trainer.global_step - 1
            )


def kinds(trainer: pl.Trainer, module: Any) -> dict[str, list[Tensor]]:
    """Return the tensors that training keeps between batches, by kind."""
    trained = list(module.parameters())
    networks = (*module.upscaler.networks, module)
    weights = {id(weight): weight for network in networks for weight in network.parameters()}
    states = (state for optimizer in trainer.optimizers for state in optimizer.state.values())
    found = {
        "weights": [*weights.values()],
        "gradients": [weight.grad for weight in trained if weight.grad is not None],
        "optimizer": [value for state in states for value in state.values() if isinstance(value, Tensor)],
    }
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, EMA):
            found["average"] = [*callback.average.values()]
    return found


def stored(tensors: Iterable[Tensor]) -> int:
    """Return the bytes of tensors in this process; of a sharded or quantised tensor those of its parts."""
    total = 0
    for tensor in tensors:
        if is_traceable_wrapper_subclass(tensor):
            names, _ = tensor.__tensor_flatten__()
            total += stored(getattr(tensor, name) for name in names)
        else:
            total += tensor.nbytes
    return total


def used(device: torch.device) -> dict[str, int]:
    """Return bytes in use: ``peak`` of tensors on a GPU, else ``resident`` where the system reports it."""
    if device.type == "cuda":
        return {"peak": torch.cuda.max_memory_allocated(device)}
    status = Path("/proc/self/status")
    if not status.is_file():
        return {}
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
    return {"resident": 1024 * int(line.split()[1])}

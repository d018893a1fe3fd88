"""Exponential moving average of the denoiser's weights."""

from typing import Any, Literal

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim.swa_utils import get_ema_multi_avg_fn
from typing_extensions import override

from dcvsr.runtime.choices import require_choice
from dcvsr.runtime.errors import UserError
from dcvsr.training.lora import merged_weights
from dcvsr.training.sharding import gathered, local, put_back, share_like


class EMA(pl.Callback):
    """Float32 average of the denoiser's weights over optimizer steps; validation and upscaling use it.

    Step t, from 0, keeps min(decay, (1 + t) / (10 + t)) of the average, so that the initial weights soon lose
    their influence. A checkpoint holds the average under ``ema``, beside the trained weights. Resuming a run
    whose checkpoint has no average starts one. Lightning's own callback would copy the whole module with the
    VAE.

    Where weights are shared out over processes, the average is shared out alike; checkpoints hold it whole.

    With `LoRA` the average is of merged weights: the average of products B A, not the product of averages.

    ``average`` and ``steps`` are written by the hooks of fitting only.

    Args:
        decay: largest share of the average that a step keeps.
        device: ``cpu`` to keep the average there, which costs a transfer of the weights in each step;
            ``auto`` for the device of the weights.
    """

    def __init__(self, decay: float, device: Literal["auto", "cpu"] = "auto") -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be at least 0 and below 1, got {decay}")
        require_choice("device", device, ("auto", "cpu"))
        self.decay = decay
        self.device = device
        self.average: dict[str, Tensor] = {}
        self.steps = 0
        self._seen = 0
        self._trained: dict[str, Tensor] = {}

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        current = merged_weights(pl_module.denoiser)
        if self.device == "cpu" and any(isinstance(value, DTensor) for value in current.values()):
            raise UserError("trainer=fsdp shares the average out; set callbacks.ema.device=auto")
        device = pl_module.device if self.device == "auto" else self.device
        self.average = {
            name: share_like(value, current[name]).to(device, torch.float32, copy=True)
            for name, value in (self.average or current).items()
        }

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._seen = trainer.global_step

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self._seen:  # the batch only accumulates gradients
            return
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        weights = merged_weights(pl_module.denoiser)
        current = [local(weights[name]).to(local(value)) for name, value in self.average.items()]
        get_ema_multi_avg_fn(decay)([local(value) for value in self.average.values()], current, None)
        self.steps += 1
        self._seen = trainer.global_step

    @override
    def on_validation_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if self.average:
            self._trained = {name: value.clone() for name, value in pl_module.denoiser.state_dict().items()}
            pl_module.denoiser.load_state_dict(self.average)

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if self._trained:
            pl_module.denoiser.load_state_dict(self._trained)
            self._trained = {}

    @override
    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        """Restore the trained weights of an interrupted validation, for a checkpoint."""
        put_back(pl_module.denoiser)
        self.on_validation_end(trainer, pl_module)

    @override
    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        average = gathered(self.average, trainer.is_global_zero)
        checkpoint["ema"] = {"weights": average, "steps": self.steps}

    @override
    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        if "ema" in checkpoint:
            self.average, self.steps = checkpoint["ema"]["weights"], checkpoint["ema"]["steps"]

"""Losses and gradients that are not finite: the run stops before a weight changes, or skips the step."""

import logging
from typing import Literal, get_args

import lightning.pytorch as pl
import torch
from torch import Tensor

from dcvsr.runtime.choices import require_choice
from dcvsr.runtime.errors import UserError

log = logging.getLogger(__name__)

OnNaN = Literal["stop", "skip"]

MOST_IN_A_ROW = 10
"""Skipped steps in a row after which a run stops: its weights or settings are at fault, not a batch."""


class NotFinite(UserError):
    """End of a run whose loss or gradient is not finite, raised by all of its processes at the same step."""


class NonFinite:
    """Decision on steps whose loss or gradient is NaN or infinite.

    Attributes:
        skips: steps are skipped.
        skipped: number of skipped steps; ``skip`` alone writes it.

    Args:
        on_nan: ``stop`` or ``skip``.
    """

    def __init__(self, on_nan: OnNaN) -> None:
        require_choice("on_nan", on_nan, get_args(OnNaN))
        self.skips = on_nan == "skip"
        self.skipped = 0
        self._in_a_row = 0
        self._losses: Tensor | float = 0.0

    def add_loss(self, loss: Tensor) -> None:
        """Keep the loss of a batch for `require_finite_losses`."""
        self._losses = self._losses + loss.detach()

    def require_finite_losses(self, module: pl.LightningModule) -> None:
        """Raise `NotFinite` unless the losses of all batches of a step, in all processes, are finite.

        All processes must call this together: one that stopped alone would leave the others waiting.
        """
        total = torch.as_tensor(self._losses, device=module.device)
        self._losses = 0.0
        self.require_finite("loss", module.trainer.strategy.reduce(total, reduce_op="sum"), module)

    def require_finite(self, name: str, value: Tensor, module: pl.LightningModule) -> None:
        """Raise `NotFinite` unless ``value`` is finite, so that checkpoints/last.ckpt stays valid.

        ``value`` must be the same in all processes.
        """
        if not torch.isfinite(value):
            raise NotFinite(
                f"the {name} is {value.item()} at step {module.global_step}; "
                "the last good checkpoint is kept: start from its weights (ckpt=...) "
                "with a lower module.optimizer.lr or in float32"
            )

    def skip(self, optimizer: torch.optim.Optimizer, norm: Tensor, module: pl.LightningModule) -> bool:
        """Take the gradients away if their ``norm`` is not finite; return True if the step is skipped.

        A weight without gradient, and its part of the optimizer's state, stay as they are. All processes
        decide alike, because the norm is that of gradients summed over them.

        Raises:
            NotFinite: after `MOST_IN_A_ROW` skipped steps without one between them.
        """
        if torch.isfinite(norm):
            self._in_a_row = 0
            return False
        self.skipped += 1
        self._in_a_row += 1
        if self._in_a_row >= MOST_IN_A_ROW:
            self.require_finite(f"gradient of {self._in_a_row} steps in a row", norm, module)
        log.warning(f"step {module.global_step} is skipped: the norm of its gradient is {norm.item()}")
        optimizer.zero_grad(set_to_none=True)
        return True


def refuse_two_frames(precision: str, device: torch.device, frames: int) -> None:
    """Refuse clips of 2 frames in bfloat16 on a CPU, where gradients of temporal convolutions are wrong.

    oneDNN's weight gradient of a 3D convolution with a kernel of 3x1x1 and padding of 1x0x0 leaves parts of
    the middle tap uninitialised for exactly 2 frames: NaN, or any number. It is right for other numbers of
    frames, in float16 and in float32.

    Raises:
        UserError: naming the way out.
    """
    if frames == 2 and precision.startswith("bf16") and device.type == "cpu":
        raise UserError(
            f"data.frames=2 with trainer.precision={precision} on a CPU gives wrong gradients, a fault of "
            "oneDNN; set trainer.precision=32-true, or data.frames=3 or more"
        )

"""Upsampling alone: bicubic, or by a network."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dcvsr.attention.observer import Observer
from dcvsr.imaging import FACTOR, Upsample, upsample


@dataclass(frozen=True)
class Upsampling:
    """I^up as the result: the paper's first column of Table 1 where it is bicubic.

    The same protocol as ``models.upscaler.Upscaler``.
    """

    upsample: Upsample = upsample

    factor = FACTOR
    origin = None  # no weights

    def to(self, device: torch.device) -> None:
        """Move the network, if one upsamples."""
        if isinstance(self.upsample, nn.Module):
            self.upsample.to(device)

    def memory(self, frames: int, height: int, width: int) -> int:
        """Bytes that two copies of the upsampled video take."""
        return 2 * 4 * 3 * frames * height * width * self.factor**2

    def work(self, frames: int, height: int, width: int) -> int:
        """One piece of work a frame."""
        return frames

    @torch.inference_mode()
    def __call__(
        self, lr: Tensor, on_tile: Callable[[], object] = lambda: None, observer: Observer | None = None
    ) -> Tensor:
        """LR ``f c h w`` -> ``f c 4h 4w``, clamped; there is nothing to observe."""
        frames = []
        for frame in lr.split(1):
            frames.append(self.upsample(frame))
            on_tile()
        return torch.cat(frames)

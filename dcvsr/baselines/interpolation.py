"""Baseline that only upsamples, bicubically or by a network."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dcvsr.attention.observer import NOBODY, Observer
from dcvsr.diffusion.protocols import Advance, Upscaler, ignored
from dcvsr.imaging import FACTOR, Upsample, upsample


@dataclass(frozen=True)
class Upsampling(Upscaler):
    """I^up as the result; bicubic is the first column of the paper's Table 1."""

    upsample: Upsample = upsample
    factor: int = FACTOR

    seed = None
    origin = None  # no weights

    def to(self, device: torch.device) -> None:
        """Move the upsampling network, if any, to ``device``."""
        if isinstance(self.upsample, nn.Module):
            self.upsample.to(device)

    def memory(self, frames: int, height: int, width: int) -> int:
        """Return the bytes of two copies of the upsampled video."""
        return 2 * 4 * 3 * frames * height * width * self.factor**2

    def work(self, frames: int, height: int, width: int) -> int:
        """Return the number of frames."""
        return frames

    @torch.inference_mode()
    def __call__(self, lr: Tensor, advance: Advance = ignored, observer: Observer = NOBODY) -> Tensor:
        """Upscale LR ``f c h w`` to ``f c 4h 4w``, clamped; ``observer`` is ignored."""
        frames = []
        for frame in lr.split(1):
            frames.append(self.upsample(frame))
            advance(1)
        return torch.cat(frames)

"""Enlargement without a model."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dcvsr.attention.observer import Observer
from dcvsr.interpolation import upsample


@dataclass(frozen=True)
class Bicubic:
    """The paper's first column of Table 1; the same protocol as ``models.upscaler.Upscaler``."""

    factor: int

    origin = None  # no weights

    def to(self, device: torch.device) -> None:
        """Nothing to move."""

    def memory(self, frames: int, height: int, width: int) -> int:
        """Bytes that two copies of the enlarged video take."""
        return 2 * 4 * 3 * frames * height * width * self.factor**2

    def work(self, frames: int, height: int, width: int) -> int:
        """One piece of work a frame."""
        return frames

    def __call__(
        self, lr: Tensor, on_tile: Callable[[], object] = lambda: None, observer: Observer | None = None
    ) -> Tensor:
        """LR ``f c h w`` -> ``f c (factor h) (factor w)``, clamped; there is nothing to observe."""
        hr = upsample(lr, self.factor)
        for _ in lr:
            on_tile()
        return hr

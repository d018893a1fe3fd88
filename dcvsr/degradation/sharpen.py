"""Unsharp masking of HR (spec 5.3).

Axes: frames are ``c h w`` in [0, 1].
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from dcvsr.degradation.filtering import filtered_separably
from dcvsr.degradation.walk import Params


@dataclass(frozen=True)
class UnsharpMask:
    """Unsharp mask: adds the difference to a Gaussian blur where it exceeds a threshold.

    Args:
        size: odd number of taps of the Gaussian.
        sigma: width of the Gaussian in pixels.
        weight: factor of the added difference.
        threshold: smallest difference that is added, in levels of 255.
    """

    size: int
    sigma: float
    weight: float
    threshold: float

    def __call__(self, frame: Tensor) -> Tensor:
        """Sharpen a frame ``c h w``."""
        taps = torch.arange(self.size, dtype=torch.float64) - self.size // 2
        taps = torch.exp(-((taps / self.sigma) ** 2) / 2)
        taps = taps / taps.sum()
        residue = frame - filtered_separably(frame, taps)
        mask = residue.abs().gt_(self.threshold / 255)
        sharp = residue.mul_(self.weight).add_(frame).clamp_(0, 1)
        return torch.lerp(frame, sharp, filtered_separably(mask, taps))


@dataclass(frozen=True)
class USM:
    """Sharpening of HR: ``source`` for the HR that LR is made from, ``target`` for the loss (spec A25)."""

    source: bool
    target: bool
    mask: UnsharpMask

    def draw(self, generator: Generator, shape: Sequence[int]) -> Params | None:
        """Draw the parameters of a clip."""
        return {} if self.source else None

    def apply(self, params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the degraded frames one by one."""
        return map(self.mask, frames)

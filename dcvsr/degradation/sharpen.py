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
    """Adds what a Gaussian takes away, where that is more than a threshold.

    Args:
        size: taps of the Gaussian, odd.
        sigma: its width in pixels.
        weight: of what is added.
        threshold: levels of 255.
    """

    size: int
    sigma: float
    weight: float
    threshold: float

    def __call__(self, frame: Tensor) -> Tensor:
        taps = torch.arange(self.size, dtype=torch.float64) - self.size // 2
        taps = torch.exp(-((taps / self.sigma) ** 2) / 2)
        taps = taps / taps.sum()
        residue = frame - filtered_separably(frame, taps)
        mask = residue.abs().gt_(self.threshold / 255)
        sharp = residue.mul_(self.weight).add_(frame).clamp_(0, 1)
        return torch.lerp(frame, sharp, filtered_separably(mask, taps))


@dataclass(frozen=True)
class USM:
    """Which HR is sharpened: ``source``, what LR is made from; ``target``, what the loss sees (spec A25)."""

    source: bool
    target: bool
    mask: UnsharpMask

    def draw(self, generator: Generator, shape: Sequence[int]) -> Params | None:
        return {} if self.source else None

    def apply(self, params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        return map(self.mask, frames)

"""DOVER's aesthetic backbone: ConvNeXt-T (Liu et al. 2022) inflated to three dimensions.

The stem takes two frames at once; the second of every three blocks also looks one step back and one ahead.
Parameters have the official names; stochastic depth, idle in scoring, is left out.

Axes: b clips; c channels; t h w in time and space.
"""

from collections.abc import Iterator
from itertools import pairwise

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS, DEPTHS = (96, 192, 384, 768), (3, 3, 9, 3)
EPSILON = 1e-6


class ConvNeXt3D(nn.Module):
    """Features of clips, ``b 3 t h w`` -> ``b 768 t/2 h/32 w/32``, rounded down: the rest is not seen."""

    def __init__(self) -> None:
        super().__init__()
        self.downsample_layers = nn.ModuleList(_downsampling())
        self.stages = nn.ModuleList(
            nn.Sequential(*(ConvNeXtBlock(width, frames=3 if j % 3 == 1 else 1) for j in range(depth)))
            for width, depth in zip(WIDTHS, DEPTHS, strict=True)
        )
        self.norm = ChannelNorm(WIDTHS[-1], EPSILON)

    def forward(self, clips: Tensor) -> Tensor:
        x = clips
        for downsample, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(downsample(x))
        return self.norm(x)


class ConvNeXtBlock(nn.Module):
    """A depthwise convolution, then a perceptron at each place, added to the input: ``b c t h w``."""

    def __init__(self, width: int, frames: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv3d(width, width, (frames, 7, 7), padding=(frames // 2, 3, 3), groups=width)
        self.norm = nn.LayerNorm(width, EPSILON)
        self.pwconv1, self.pwconv2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(torch.full((width,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(rearrange(self.dwconv(x), "b c t h w -> b t h w c"))
        y = self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))
        return x + rearrange(y, "b t h w c -> b c t h w")


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over c of ``b c t h w``."""

    def forward(self, input: Tensor) -> Tensor:
        return rearrange(
            super().forward(rearrange(input, "b c t h w -> b t h w c")), "b t h w c -> b c t h w"
        )


def _downsampling() -> Iterator[nn.Module]:
    """The stem, and what halves the resolution before each later stage."""
    yield nn.Sequential(nn.Conv3d(3, WIDTHS[0], (2, 4, 4), (2, 4, 4)), ChannelNorm(WIDTHS[0], EPSILON))
    for width, wider in pairwise(WIDTHS):
        yield nn.Sequential(ChannelNorm(width, EPSILON), nn.Conv3d(width, wider, (1, 2, 2), (1, 2, 2)))

"""DOVER's aesthetic backbone: ConvNeXt-T (Liu et al. 2022) inflated to three dimensions.

The stem's kernel spans two frames. The second of every three blocks has a kernel of three time steps; the
others have one. Parameters have the official names. Stochastic depth, inactive at inference, is omitted.

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
    """Feature extractor of clips. Sizes that do not divide are rounded down; the remainder is ignored."""

    def __init__(self) -> None:
        super().__init__()
        self.downsample_layers = nn.ModuleList(_downsampling())
        self.stages = nn.ModuleList(
            nn.Sequential(*(ConvNeXtBlock(width, frames=3 if j % 3 == 1 else 1) for j in range(depth)))
            for width, depth in zip(WIDTHS, DEPTHS, strict=True)
        )
        self.norm = ChannelNorm(WIDTHS[-1], EPSILON)

    def forward(self, clips: Tensor) -> Tensor:
        """Compute features: ``b 3 t h w`` -> ``b 768 t/2 h/32 w/32``."""
        x = clips
        for downsample, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(downsample(x))
        return self.norm(x)


class ConvNeXtBlock(nn.Module):
    """Residual block: a depthwise convolution, then a perceptron at each position."""

    def __init__(self, width: int, frames: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv3d(width, width, (frames, 7, 7), padding=(frames // 2, 3, 3), groups=width)
        self.norm = nn.LayerNorm(width, EPSILON)
        self.pwconv1, self.pwconv2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(torch.full((width,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block: ``b c t h w`` -> ``b c t h w``."""
        y = self.norm(rearrange(self.dwconv(x), "b c t h w -> b t h w c"))
        y = self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))
        return x + rearrange(y, "b t h w c -> b c t h w")


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over c of ``b c t h w``."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise ``input`` ``b c t h w``."""
        return rearrange(
            super().forward(rearrange(input, "b c t h w -> b t h w c")), "b t h w c -> b c t h w"
        )


def _downsampling() -> Iterator[nn.Module]:
    """Yield the stem, then the layer before each later stage that halves the resolution."""
    yield nn.Sequential(nn.Conv3d(3, WIDTHS[0], (2, 4, 4), (2, 4, 4)), ChannelNorm(WIDTHS[0], EPSILON))
    for width, wider in pairwise(WIDTHS):
        yield nn.Sequential(ChannelNorm(width, EPSILON), nn.Conv3d(width, wider, (1, 2, 2), (1, 2, 2)))

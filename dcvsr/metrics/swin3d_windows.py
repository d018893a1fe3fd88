"""Partition of a clip's tokens into the windows of a shifted-window transformer (Liu et al. 2022).

Axes: b clips; t h w tokens in time and space; c channels; n windows of a clip; p, q tokens of a window.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

WINDOW, SHIFT, STILL = (8, 7, 7), (4, 3, 3), (0, 0, 0)

Axes = tuple[int, int, int]
"""Number of tokens along time, height and width."""


@dataclass(frozen=True)
class Windows:
    """Windows of ``size`` tokens, padded to whole windows and rolled by ``-shift``."""

    size: Axes
    window: Axes
    shift: Axes

    @classmethod
    def over(cls, tokens: Tensor, shift: Axes) -> "Windows":
        """Return the windows of tokens ``b t h w c``; an axis no longer than a window has no shift."""
        (t, h, w), (i, j, k), (di, dj, dk) = tokens.shape[1:4], WINDOW, shift
        return cls((t, h, w), (min(t, i), min(h, j), min(w, k)), (di * (t > i), dj * (h > j), dk * (w > k)))

    @property
    def padded(self) -> Axes:
        """Number of tokens after padding."""
        (t, h, w), (i, j, k) = self.size, self.window
        return t + -t % i, h + -h % j, w + -w % k

    def split(self, tokens: Tensor) -> Tensor:
        """Split tokens into windows: ``b t h w c`` -> ``b n p c``."""
        return self._rolled(F.pad(tokens, (0, 0, *padding(self.size, self.window))))

    def join(self, windows: Tensor) -> Tensor:
        """Invert `split`: ``b n p c`` -> ``b t h w c``."""
        (i, j, k), (t, h, w) = self.window, self.size
        n = {axis: size // side for axis, size, side in zip("thw", self.padded, self.window, strict=True)}
        x = rearrange(windows, "b (t h w) (i j k) c -> b (t i) (h j) (w k) c", i=i, j=j, k=k, **n)
        return x.roll(self.shift, (1, 2, 3))[:, :t, :h, :w]

    def fragment_distance(self, device: torch.device) -> Tensor:
        """Compute the distance in fragments between the tokens of a window, rows plus columns: ``n p q``.

        A frame has as many fragments per side as a window has tokens per side: seven, like the mosaic.
        """
        (t, h, w), (_, rows, columns) = self.padded, self.window
        axes = torch.zeros(t), torch.arange(h) * rows // h, torch.arange(w) * columns // w
        return self._distance(axes, device)

    def seam_mask(self, device: torch.device) -> Tensor:
        """Return the mask added to scores ``n p q``: -100 between tokens that only rolling joins, else 0."""
        rolled_over = [torch.arange(size) < s for size, s in zip(self.padded, self.shift, strict=True)]
        return -100.0 * (self._distance(rolled_over, device) > 0)

    def _distance(self, axes: Sequence[Tensor], device: torch.device) -> Tensor:
        """Compute the L1 distance between the tokens of a window from the coordinates along each axis."""
        grid = torch.stack(torch.meshgrid(*(axis.float() for axis in axes), indexing="ij"), dim=-1)
        tokens = self._rolled(grid[None])[0].to(device)
        return torch.cdist(tokens, tokens, p=1)

    def _rolled(self, tokens: Tensor) -> Tensor:
        (i, j, k), back = self.window, [-s for s in self.shift]
        x = tokens.roll(back, (1, 2, 3))
        return rearrange(x, "b (t i) (h j) (w k) c -> b (t h w) (i j k) c", i=i, j=j, k=k)


def relative_position_index() -> Tensor:
    """Return the row of the bias table for each pair of tokens of a full window: ``p q``."""
    grid = torch.stack(torch.meshgrid(*map(torch.arange, WINDOW), indexing="ij"))
    tokens = rearrange(grid, "i t h w -> i (t h w)")
    t, h, w = tokens[:, :, None] - tokens[:, None] + torch.tensor(WINDOW)[:, None, None] - 1
    return (t * (2 * WINDOW[1] - 1) + h) * (2 * WINDOW[2] - 1) + w


def padding(size: Sequence[int], multiple: Sequence[int]) -> list[int]:
    """Return the argument of ``F.pad`` that pads the last axes to multiples."""
    pairs = [(0, -side % m) for side, m in zip(size, multiple, strict=True)]
    return [pad for pair in reversed(pairs) for pad in pair]

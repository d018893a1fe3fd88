"""The canvas onto which tiles are blended."""

import torch
from torch import Tensor

from dcvsr.tiling.blend import gaussian_window
from dcvsr.tiling.grid import Tile


class Canvas:
    """Weighted mean of tiles over a video latent ``f c h w``, accumulated in float32.

    Its sums are its only state, written by ``add`` alone.
    """

    def __init__(self, like: Tensor, width: float) -> None:
        self.width = width
        self.sum = torch.zeros_like(like, dtype=torch.float32)
        self.weight = torch.zeros_like(like[:, :1], dtype=torch.float32)

    def add(self, tile: Tile, values: Tensor) -> None:
        """Blend ``values`` (``f c h w`` of the tile) in."""
        f, _, h, w = values.shape
        time, rows, columns = (gaussian_window(n, self.width).to(values.device) for n in (f, h, w))
        weight = torch.einsum("f,h,w->fhw", time, rows, columns)[:, None]
        self.sum[tile.index] += weight * values.float()
        self.weight[tile.index] += weight

    def merge(self) -> Tensor:
        """The blended latent: every position the mean of its tiles, weights summing to one."""
        return self.sum / self.weight

"""Canvas for blending tiles."""

from collections.abc import Iterable

import torch
from torch import Tensor

from dcvsr.tiling.blend import gaussian_window
from dcvsr.tiling.grid import Tile


class Canvas:
    """Weighted mean of tiles over a video latent ``f c h w``, accumulated in float32.

    ``space`` and ``time`` are widths of the Gaussian window in tiles. Only ``add`` writes the sums.
    """

    def __init__(self, like: Tensor, space: float, time: float) -> None:
        self.widths = time, space, space
        self.sum = torch.zeros_like(like, dtype=torch.float32)
        self.weight = torch.zeros_like(like[:, :1], dtype=torch.float32)

    def add(self, tile: Tile, values: Tensor) -> None:
        """Add ``values``, ``f c h w`` of the tile."""
        time, rows, columns = (
            gaussian_window(n, width).to(values.device)
            for n, width in zip(tile.shape, self.widths, strict=True)
        )
        weight = time[:, None, None, None] * rows[:, None] * columns  # autocast would round an einsum
        self.sum[tile.index] += weight * values.float()
        self.weight[tile.index] += weight

    def merge(self) -> Tensor:
        """Return the blended latent: at each position the mean of its tiles, with weights of sum one."""
        return self.sum / self.weight


def plane_weight(tiles: Iterable[Tile], rows: int, columns: int, space: float) -> Tensor:
    """Compute the sum of the weights of spatial tiles, ``h w``, without their factor over time."""
    weight = torch.zeros(rows, columns)
    for tile in tiles:
        _, height, width = tile.shape
        weight[tile.rows, tile.columns] += gaussian_window(height, space)[:, None] * gaussian_window(
            width, space
        )
    return weight

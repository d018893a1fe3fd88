"""A denoiser for canvases of any size: tiles in, one blended estimate out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dcvsr.models.denoiser import Condition, Denoiser
from dcvsr.tiling.canvas import Canvas
from dcvsr.tiling.grid import Tile

Guidance = Callable[[Callable[[Tensor, float, Condition], Tensor], Tensor, float, Condition], Tensor]


@dataclass(frozen=True)
class TiledDenoiser:
    """D over a canvas ``f k h w``: guidance within each tile, Gaussian blending between them (spec A18).

    Attributes:
        windows: tiles by temporal window, in order.
        conditions: one condition per tile, batch 1, in the order of the tiles.
        blend: width of the Gaussian window in tiles.
        on_tile: called after each tile.
    """

    denoiser: Denoiser
    guidance: Guidance
    windows: Sequence[Sequence[Tile]]
    conditions: Sequence[Condition]
    blend: float
    on_tile: Callable[[], object] = field(default=lambda: None)

    def __call__(self, x: Tensor, sigma: float, step: int) -> Tensor:
        """The denoised canvas at noise level ``sigma``; float32."""
        canvas = Canvas(x, self.blend)
        tiles = [tile for window in self.windows for tile in window]
        for tile, condition in zip(tiles, self.conditions, strict=True):
            canvas.add(tile, self.guidance(self._denoise, x[tile.index][None], sigma, condition)[0])
            self.on_tile()
        return canvas.merge()

    def _denoise(self, x: Tensor, sigma: float, condition: Condition) -> Tensor:
        return self.denoiser(x, torch.full((len(x),), sigma, device=x.device), condition)

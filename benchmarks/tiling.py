"""Shifted tiles against half-overlapping ones: evaluations, FLOPs, and what is left of the seams."""

from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor

from benchmarks.models import MODELS, configured
from benchmarks.report import Line
from dcvsr.data.clips import VideoClip
from dcvsr.data.packaged import packaged
from dcvsr.degradation.pipeline import bicubic
from dcvsr.degradation.seeds import generator
from dcvsr.models.flops import counted
from dcvsr.models.upscaler import TiledUpscaler
from dcvsr.tiling.grid import TileGrid
from dcvsr.video.io import to_unit

CANVAS = (100, 90, 160)
"""Frames, rows and columns of a REDS clip in latents (spec A17)."""


def shifted_tiles(steps: int = 4) -> Iterator[Line]:
    """Tile evaluations of one step, and U-Net FLOPs over all steps, of the true SVD U-Net."""
    model = MODELS["svd"]
    denoiser = model.denoiser("meta", torch.float32)

    @cache
    def cost(shape: tuple[int, int, int]) -> int:
        frames, rows, columns = shape
        x = torch.empty(1, frames, 2 * model.latent_channels, rows, columns, device="meta")
        image = torch.empty(1, 1, model.embedding, device="meta")
        ids = denoiser.ids.to("meta")
        return sum(counted(lambda: denoiser.unet(x, torch.empty((), device="meta"), image, ids)))

    total, count = {}, {}
    for schedule in ("overlap", "shifted"):
        grid = TileGrid(model.size, model.frames, 0.5, schedule)
        tiles = [tile for step in range(steps) for window in grid.windows(*CANVAS, step) for tile in window]
        total[schedule], count[schedule] = sum(cost(tile.shape) for tile in tiles), len(tiles) // steps
    yield Line("overlap, tile evaluations a step on 160x90x100 latents", count["overlap"])
    yield Line("shifted, tile evaluations a step", count["shifted"], at_most=48)
    yield Line("shifted, FLOPs of overlap's", total["shifted"] / total["overlap"], at_most=0.30)


def seams(ckpt: str) -> Iterator[Line]:
    """How much steeper a restored clip is across the last step's tile lines than between them.

    Steepness is relative to that of the same clip restored in one tile, so 1 is no seam.
    """
    hr = to_unit(VideoClip(packaged("carphone_pristine"), "outputs/cache", stop=8).read(0, 8))
    degradation = bicubic(4)
    lr = degradation.apply(degradation.draw(generator(), hr.shape), hr)

    def restored(*tile: str) -> tuple[TiledUpscaler, Tensor]:
        upscaler = configured("upscaler", "scale=nano", f"ckpt={ckpt}", "input=", "output=", *tile)
        return upscaler, upscaler(lr)

    _, seamless = restored("tile.size=48")
    for name, tile in {
        "half overlapping": ["tile.schedule=overlap", "tile.overlap=0.5"],
        "not overlapping": ["tile.schedule=overlap", "tile.overlap=0"],
        "shifted": ["tile.schedule=shifted"],
    }.items():
        upscaler, tiled = restored("tile.size=16", *tile)
        last = upscaler.windows(len(lr), *lr.shape[2:], step=upscaler.sampler.steps - 1)[0]
        rows, columns = (
            {4 * getattr(tile, axis).start for tile in last} - {0} for axis in ("rows", "columns")
        )
        steeper = [_steeper(tiled, seamless, columns), _steeper(tiled.mT, seamless.mT, rows)]
        yield Line(f"{name} tiles: steepness across tile lines", sum(steeper) / 2)


def _steeper(tiled: Tensor, seamless: Tensor, lines: set[int]) -> float:
    ours, without = (x.diff(dim=-1).abs().mean(dim=(0, 1, 2)) for x in (tiled, seamless))
    across = torch.tensor([i + 1 in lines for i in range(len(ours))])
    return (
        (ours[across].sum() / without[across].sum()) / (ours[~across].sum() / without[~across].sum())
    ).item()

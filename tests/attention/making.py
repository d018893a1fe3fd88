"""Small U-Nets, tiled denoisers over them, and an observer that writes everything down."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from dcvsr.attention.branches import own
from dcvsr.attention.observer import NOBODY, Observer, Place
from dcvsr.attention.propagation import TemporalPropagation
from dcvsr.diffusion.guidance import NoGuidance
from dcvsr.models.denoiser import Condition, Denoiser
from dcvsr.models.svd import new_unet
from dcvsr.models.tiled import TiledDenoiser
from dcvsr.tiling.grid import Tile

CHANNELS, EMBEDDING, FRAMES, SIDE = 4, 8, 3, 8
"""Of the latent, of the image, and of a tile."""

_UNGUIDED = NoGuidance()


def make_denoiser(shape: str, dtype: torch.dtype = torch.float64) -> Denoiser:
    """``nano``: two resolutions; ``svd``: four, two layers each, as SVD's. Attention sharp enough to matter.

    In float64, as normalising few positions of few channels makes much of float32's rounding.
    """
    torch.manual_seed(0)
    size = {"nano": ([32, 64], [2, 2], 1), "svd": ([32, 32, 64, 64], [1, 1, 2, 2], 2)}[shape]
    unet = new_unet(CHANNELS, *size, EMBEDDING, FRAMES).eval().requires_grad_(False)
    for name, weight in unet.named_parameters():
        if ".transformer_blocks.0.attn1.to_" in name:
            weight.mul_(4)
    return Denoiser(unet.to(dtype), [8, 127, 0])


def cut(axis: int, size: int) -> list[slice]:
    """An axis in pieces that do not overlap."""
    return [slice(start, min(start + size, axis)) for start in range(0, axis, size)]


def boxes(frames: int, rows: int, columns: int) -> list[list[Tile]]:
    """A canvas in tiles that do not overlap."""
    return [[Tile(f, y, x) for y in cut(rows, SIDE) for x in cut(columns, SIDE)] for f in cut(frames, FRAMES)]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def estimate(
    denoiser: Denoiser,
    propagation,
    guidance: Callable = _UNGUIDED,
    canvas: tuple[int, int, int] = (2 * FRAMES, 2 * SIDE, SIDE),
    windows: Sequence[Sequence[Tile]] | None = None,
    batch: int | None = 1,
    observer: Observer = NOBODY,
    step: int = 0,
    sigma: float = 2.0,
) -> Tensor:
    """D of a canvas ``f y x``, always the same x, l and image embeddings."""
    x, l = noise(2, canvas[0], CHANNELS, *canvas[1:])
    given = boxes(*canvas) if windows is None else windows
    tiled = TiledDenoiser(
        denoiser=denoiser,
        guidance=guidance,
        propagation=propagation,
        windows=lambda step: given,
        condition=partial(_condition, l),
        blend=0.1,
        blend_time=0.1,
        steps=4,
        batch=batch,
        observer=observer,
    )
    with torch.inference_mode(), denoiser.propagated():
        return tiled(sigma * x, sigma, step)


def _condition(l: Tensor, tile: Tile) -> Condition:
    return Condition(l[tile.index][None], noise(1, 1, EMBEDDING, seed=sum(tile.box)))


class Once:
    """A propagation of one round, whose other branches see ``branches`` of it."""

    def __init__(self, propagation, branches: Callable = own, number: int = 0) -> None:
        self.propagation, self.branches, self.number = propagation, branches, number

    def round(self, step: int, steps: int):
        return self.branches(self.propagation.round(self.number, steps))


def tap(**changed) -> TemporalPropagation:
    """TAP as the paper has it, but for two of a tile's three frames."""
    paper = {
        "frames": 2,
        "anchors": 0,
        "selection": "std",
        "choice": "per_layer",
        "direction": "alternate",
        "source": "chained",
        "seed": 0,
    }
    return TemporalPropagation(**{**paper, **changed})


class Notes(Observer):
    """Everything that happened, in order."""

    def __init__(self) -> None:
        self.evaluations: list[tuple[Place, Tensor]] = []
        self.attentions: list[tuple[Place, str, Tensor, Tensor]] = []
        self.exchanges: list[tuple[Place, str, Tensor, Tensor]] = []
        self.choices: list[tuple[Place, str, Tensor]] = []

    def evaluated(self, place: Place, x: Tensor) -> None:
        self.evaluations.append((place, x))

    def attended(self, place: Place, layer: str, q: Tensor, k: Tensor) -> None:
        self.attentions.append((place, layer, q, k))

    def exchanged(self, place: Place, layer: str, k: Tensor, v: Tensor) -> None:
        self.exchanges.append((place, layer, k, v))

    def chosen(self, place: Place, layer: str, frames: Tensor) -> None:
        self.choices.append((place, layer, frames))

"""The U-Nets that are measured, with random weights, and a denoiser over a canvas around each.

Axes: canvas ``f k h w``.
"""

from dataclasses import dataclass
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor, nn

from dcvsr.attention.observer import NOBODY, Observer
from dcvsr.attention.propagation import Propagation
from dcvsr.diffusion.protocols import Guidance
from dcvsr.models.denoiser import Condition, Denoiser
from dcvsr.models.svd import new_unet
from dcvsr.models.tiled import TiledDenoiser
from dcvsr.runtime.cli import CONF
from dcvsr.tiling.grid import Tile, TileGrid


@dataclass(frozen=True)
class Model:
    """A U-Net at the tile size that it is used at: ``frames`` x ``size`` x ``size`` latents."""

    latent_channels: int
    channels: tuple[int, ...]
    heads: tuple[int, ...]
    layers: int
    embedding: int
    frames: int
    size: int

    def denoiser(self, device: str, dtype: torch.dtype) -> Denoiser:
        torch.manual_seed(0)
        with torch.device(device):
            unet = new_unet(
                self.latent_channels, self.channels, self.heads, self.layers, self.embedding, self.frames
            )
        unet = nn.Module.to(unet, dtype=dtype)  # diffusers' own warns of what SVD does not have
        return Denoiser(unet.eval(), [8, 127, 0]).to(device)


MODELS = {
    "nano": Model(48, (64, 64, 128), (1, 1, 2), 1, 32, 8, 32),
    "mid": Model(4, (64, 128, 256, 256), (1, 2, 4, 4), 2, 64, 6, 32),
    "svd": Model(4, (320, 640, 1280, 1280), (5, 10, 20, 20), 2, 1024, 14, 64),
}


def configured(group: str, *overrides: str) -> Any:
    """The object that a group of conf/ builds under ``overrides``."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("upscale", ["scale=svd", *overrides])
    return instantiate(cfg[group], _convert_="all")


@dataclass(frozen=True)
class Scene:
    """A denoiser on a random canvas of ``windows`` by ``tiles`` by ``tiles``, half of each axis shared."""

    model: Model
    denoiser: Denoiser
    tiles: int
    windows: int

    @property
    def canvas(self) -> Tensor:
        model = self.model
        side, frames = (
            size + (count - 1) * (size // 2)
            for count, size in ((self.tiles, model.size), (self.windows, model.frames))
        )
        torch.manual_seed(1)
        return torch.randn(frames, model.latent_channels, side, side, device=self.denoiser.ids.device)

    def denoise(
        self,
        propagation: Propagation,
        guidance: Guidance[Condition],
        step: int = 0,
        batch: int | None = 1,
        observer: Observer = NOBODY,
    ) -> Tensor:
        """One evaluation of the whole canvas."""
        x, model = self.canvas, self.model
        grid = TileGrid(model.size, model.frames, 0.5)

        def condition(tile: Tile) -> Condition:
            return Condition(x[tile.index][None], x.new_zeros(1, 1, model.embedding))

        tiled = TiledDenoiser(
            self.denoiser,
            guidance,
            propagation,
            lambda step: grid.windows(len(x), *x.shape[2:], step),
            condition,
            blend=0.1,
            blend_time=0.1,
            steps=25,
            batch=batch,
            observer=observer,
        )
        with torch.inference_mode(), self.denoiser.propagated():
            return tiled(x, 5.0, step)

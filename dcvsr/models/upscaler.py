"""DC-VSR as a function from an LR video to an HR video.

Axes: video ``f c h w`` in [0, 1]; latent canvas ``f k h w``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dcvsr.diffusion.noise import gaussian_noise
from dcvsr.diffusion.sampler import Euler
from dcvsr.interpolation import upsample
from dcvsr.models.denoiser import Condition, Denoiser
from dcvsr.models.latents import Latents
from dcvsr.models.tiled import Guidance, TiledDenoiser
from dcvsr.tiling.grid import Tile, TileGrid

ImageEncoder = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Upscaler:
    """The whole of the paper's Fig. 2: enlarge, encode, sample over tiles, decode; always x4.

    Attributes:
        denoiser, latents, image_encoder: the model.
        sampler, guidance, grid: how it is sampled.
        blend: width of the Gaussian blending window in tiles.
        precision: the network's; latents, preconditioning and blending stay in float32.
        seed: of x_T.
    """

    denoiser: Denoiser
    latents: Latents
    image_encoder: ImageEncoder
    sampler: Euler
    guidance: Guidance
    grid: TileGrid
    blend: float
    precision: torch.dtype
    seed: int

    factor = 4

    @property
    def origin(self) -> Any:
        """The checkpoint that the denoiser was restored from, or None."""
        return self.denoiser.origin

    def to(self, device: torch.device) -> None:
        """Move the model to ``device``."""
        for part in (self.denoiser, self.latents.autoencoder, self.image_encoder):
            if isinstance(part, nn.Module):
                part.to(device)

    def windows(self, frames: int, height: int, width: int) -> list[list[Tile]]:
        """The tiles that an LR video of this length and size is cut into."""
        padded = self._padded(frames, height * self.factor, width * self.factor)
        scale = self.latents.autoencoder.factor
        return self.grid.windows(padded[0], padded[1] // scale, padded[2] // scale)

    def memory(self, frames: int, height: int, width: int) -> int:
        """Bytes that ten copies of the enlarged video take: latents, noise, canvas and result."""
        return 10 * 4 * 3 * frames * height * width * self.factor**2

    def work(self, frames: int, height: int, width: int) -> int:
        """Number of tiles that will be denoised over all steps."""
        return self.sampler.steps * sum(map(len, self.windows(frames, height, width)))

    @torch.inference_mode()
    def __call__(self, lr: Tensor, on_tile: Callable[[], object] = lambda: None) -> Tensor:
        """LR ``f c h w`` -> HR ``f c 4h 4w``, clamped; any length and size."""
        with torch.autocast(lr.device.type, enabled=False):  # a trainer's precision is not ours
            return self._upscale(lr, on_tile)

    def _upscale(self, lr: Tensor, on_tile: Callable[[], object]) -> Tensor:
        up = upsample(lr, self.factor)
        frames, _, height, width = up.shape
        padded = _pad(up, *self._padded(frames, height, width))
        latent = self.latents.condition(padded[None])[0]
        windows = self.windows(len(lr), *lr.shape[2:])
        denoise = TiledDenoiser(
            self.denoiser,
            self.guidance,
            windows,
            self._conditions(padded, latent, windows),
            self.blend,
            on_tile,
        )
        with torch.autocast(lr.device.type, self.precision, enabled=self.precision != torch.float32):
            x = self.sampler(denoise, self._noise(latent))
        hr = self.latents.decode(x[None], latent[None])[0]
        return hr[:frames, :, :height, :width].clamp(0, 1)

    def _padded(self, frames: int, height: int, width: int) -> tuple[int, int, int]:
        """At least one tile on every axis, and whole latents (spec A17)."""
        scale = self.latents.autoencoder.factor
        side = self.grid.size * scale
        height, width = (max(side, -(-n // scale) * scale) for n in (height, width))
        return max(frames, self.grid.frames), height, width

    def _conditions(self, up: Tensor, latent: Tensor, windows: list[list[Tile]]) -> list[Condition]:
        scale = self.latents.autoencoder.factor
        return [
            Condition(latent[tile.index][None], self.image_encoder(_first_frame(up, tile, scale)))
            for window in windows
            for tile in window
        ]

    def _noise(self, latent: Tensor) -> Tensor:
        f, k, h, w = latent.shape
        frames = (range(i, i + 1) for i in range(f))  # one by one: its integers are larger than its noise
        return torch.cat([gaussian_noise(self.seed, i, k, range(h), range(w), latent.device) for i in frames])


def _first_frame(up: Tensor, tile: Tile, scale: int) -> Tensor:
    rows, columns = (slice(s.start * scale, s.stop * scale) for s in (tile.rows, tile.columns))
    return up[tile.frames.start, :, rows, columns][None]


def _pad(video: Tensor, frames: int, height: int, width: int) -> Tensor:
    """Repeat the last frame, and reflect the pixels at the lower and right border as often as it takes."""
    video = torch.cat([video, video[-1:].expand(frames - len(video), -1, -1, -1)])
    rows, columns = (
        _reflected(n, to, video.device) for n, to in zip(video.shape[2:], (height, width), strict=True)
    )
    return video[:, :, rows][..., columns]


def _reflected(length: int, to: int, device: torch.device) -> Tensor:
    """Indices 0, 1, ..., length - 1, length - 1, ..., 0, 0, 1, ...: any ``to`` can be reached."""
    index = torch.arange(to, device=device) % (2 * length)
    return torch.minimum(index, 2 * length - 1 - index)

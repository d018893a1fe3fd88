"""What every run on an LR video starts from, whatever its guidance and propagation: hence it is cached.

Axes: video ``f c h w`` in [0, 1]; latent canvas ``f k h w``.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor, nn

from dcvsr.diffusion.initial_noise import gaussian_noise
from dcvsr.imaging import Upsample
from dcvsr.models.denoiser import Condition
from dcvsr.models.latents import Latents
from dcvsr.runtime.cache import Cache, NoCache
from dcvsr.tiling.grid import Tile
from dcvsr.tiling.padding import padded

ImageEncoder = Callable[[Tensor], Tensor]
"""Frames ``b c h w`` in [0, 1] -> embeddings ``b 1 d``."""

ImageFrames = Literal["first", "each", "first_of_video"]
"""Frames of a tile that the image encoder sees; ``first_of_video`` is uncropped (spec A12)."""


def pictures(tile: Tile, frames: ImageFrames, canvas: tuple[int, int, int]) -> list[Tile]:
    """The crops of I^up, each of one frame, whose embeddings condition ``tile``; all in latents."""
    if frames == "first_of_video":
        return [Tile(slice(0, 1), slice(0, canvas[1]), slice(0, canvas[2]))]
    first = tile.frames.start
    numbers = range(first, first + 1 if frames == "first" else tile.frames.stop)
    return [replace(tile, frames=slice(i, i + 1)) for i in numbers]


PIXEL_NOISE = 1
"""Stream of ``gaussian_noise``; x_T has 0."""


def with_noise(up: Tensor, noise: Tensor, strength: Tensor | float) -> Tensor:
    """Add unit ``noise`` to I^up at ``strength``, which counts in pixels in [-1, 1] as SVD's; not clamped."""
    return up + noise * (strength / 2)  # up is in [0, 1]


def embedded(encoder: ImageEncoder, up: Tensor, frames: ImageFrames) -> Tensor:
    """The image embeddings ``b n d`` of clips ``b f c h w`` of I^up, each of which is a whole video."""
    shown = up if frames == "each" else up[:, :1]
    tokens = encoder(rearrange(shown, "b f c h w -> (b f) c h w"))
    return rearrange(tokens, "(b n) 1 d -> b n d", b=len(up))


class Conditioning:
    """The LR video as a denoiser is shown it, and the noise that it starts from.

    ``_images``: box of a picture -> its embedding; written by ``_image`` alone.

    Args:
        lr: ``f c h w``.
        upsample: makes I^up of it.
        canvas: frames, height and width that the upsampled video is padded to.
        image_frames: what the image encoder sees of a tile; always without noise.
        noise_augmentation: strength of the noise on the pixels that l is the encoding of (spec A14).
        seed: of that noise.
    """

    def __init__(
        self,
        lr: Tensor,
        upsample: Upsample,
        canvas: tuple[int, int, int],
        latents: Latents,
        image_encoder: ImageEncoder,
        image_frames: ImageFrames,
        noise_augmentation: float,
        seed: int,
        cache: Cache | NoCache,
    ) -> None:
        self.latents, self.image_encoder, self.cache = latents, image_encoder, cache
        self.image_frames: ImageFrames = image_frames
        self.up = padded(torch.cat([upsample(frame) for frame in lr.split(1)]), *canvas)
        shown = self._augmented(noise_augmentation, seed) if noise_augmentation else self.up
        self.latent = self._cached(
            "latent",
            {"up": shown, "latents": latents},
            lambda: latents.condition(shown[None])[0],
        )
        self._images: dict[tuple[int, ...], Tensor] = {}

    def condition(self, tile: Tile) -> Condition:
        """The tile's LR latents, and the embeddings of its pictures (spec A12)."""
        frames, _, rows, columns = self.latent.shape
        shown = pictures(tile, self.image_frames, (frames, rows, columns))
        return Condition(self.latent[tile.index][None], torch.cat([self._image(p) for p in shown], dim=1))

    def _image(self, picture: Tile) -> Tensor:
        if picture.box not in self._images:
            with torch.autocast(self.up.device.type, enabled=False):
                self._images[picture.box] = self._embedding(self._pixels(picture))
        return self._images[picture.box]

    def _augmented(self, strength: float, seed: int) -> Tensor:
        """I^up with noise that is a function of (seed, frame, y, x)."""
        f, c, h, w = self.up.shape
        size, device = (c, range(h), range(w)), self.up.device
        noise = (gaussian_noise(seed, range(i, i + 1), *size, device, PIXEL_NOISE) for i in range(f))
        frames = zip(self.up.split(1), noise, strict=True)
        return torch.cat([with_noise(frame, its_noise, strength) for frame, its_noise in frames])

    def noise(self, seed: int) -> Tensor:
        """x_T."""
        f, k, h, w = self.latent.shape
        frames = (range(i, i + 1) for i in range(f))  # one by one: its integers are larger than its noise
        draw = partial(gaussian_noise, seed)
        return self._cached(
            "noise",
            {"seed": seed, "shape": self.latent.shape},
            lambda: torch.cat([draw(i, k, range(h), range(w), self.latent.device) for i in frames]),
        )

    def _embedding(self, frame: Tensor) -> Tensor:
        encoder = self.image_encoder
        if not isinstance(encoder, nn.Module):  # without a network it is made faster than it is read
            return encoder(frame)
        return self._cached("embedding", {"frame": frame, "encoder": encoder}, lambda: encoder(frame))

    def _cached(self, name: str, parts: Mapping[str, object], make: Callable[[], Tensor]) -> Tensor:
        """By the device too: each rounds in its own way."""
        device = self.up.device
        kind = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        return self.cache(name, {**parts, "device": kind}, make).to(device)

    def _pixels(self, tile: Tile) -> Tensor:
        scale = self.latents.autoencoder.factor
        rows, columns = (slice(s.start * scale, s.stop * scale) for s in (tile.rows, tile.columns))
        return self.up[tile.frames, :, rows, columns]

"""The condition of the denoiser, built from LR video: the same code in training and in inference.

Axes: video ``b f c h w`` in [0, 1]; latent ``b f k h w``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
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
    """Return the single-frame crops of I^up whose embeddings condition ``tile``; units are latents."""
    if frames == "first_of_video":
        return [Tile(slice(0, 1), slice(0, canvas[1]), slice(0, canvas[2]))]
    first = tile.frames.start
    numbers = range(first, first + 1 if frames == "first" else tile.frames.stop)
    return [replace(tile, frames=slice(i, i + 1)) for i in numbers]


PIXEL_NOISE = 1
"""Stream of ``gaussian_noise``; x_T has 0."""


@dataclass(frozen=True)
class PixelNoise:
    """Noise augmentation: noise on the pixels of I^up before they are encoded (spec A14).

    Attributes:
        strength: standard deviation in pixels in [-1, 1], as in SVD. A number is the one in the
            denoiser's ids. A tensor ``b`` is drawn for each clip and passed to the denoiser.
        unit: frame number -> noise ``b c h w`` of standard deviation 1.
    """

    strength: Tensor | float
    unit: Callable[[int], Tensor]

    def on(self, frame: Tensor, number: int) -> Tensor:
        """Add the noise to a frame ``b c h w`` in [0, 1]; the result is not clamped."""
        strength = self.strength
        if isinstance(strength, Tensor):
            strength = rearrange(strength, "b -> b 1 1 1")
        return frame + self.unit(number) * (strength / 2)  # [0, 1] is half as wide as [-1, 1]


def seeded_pixel_noise(
    strength: float, seed: int, place: tuple[int, int, int], size: tuple[int, int], device: torch.device
) -> PixelNoise:
    """Return noise for one frame that depends only on seed, frame, row and column.

    Args:
        strength: as in `PixelNoise`.
        seed: seed of the video.
        place: frame, row and column of the first pixel in the whole video.
        size: height and width.
        device: device of the noise.
    """
    frame, top, left = place
    sides = range(top, top + size[0]), range(left, left + size[1])
    return PixelNoise(
        strength, lambda _: gaussian_noise(seed, range(frame, frame + 1), 3, *sides, device, PIXEL_NOISE)
    )


class Conditioning:
    """The condition of a batch of LR videos, whole or of any tile.

    ``_images`` maps the box of a picture to its embedding; only ``image`` writes it.

    Args:
        lr: ``b f c h w``.
        upsample: LR -> I^up.
        latents: I^up -> l.
        image_encoder: sees I^up without noise.
        image_frames: frames of a tile that the image encoder sees (spec A12).
        noise: noise augmentation; None for none.
        canvas: frames, height and width that I^up is padded to; None for no padding.
        cache: keeps l, the embeddings and x_T, contiguous; None keeps nothing and the memory format of l.

    Attributes:
        up: I^up, padded.
        shown: I^up with noise, which l is the encoding of.
    """

    def __init__(
        self,
        lr: Tensor,
        upsample: Upsample,
        latents: Latents,
        image_encoder: ImageEncoder,
        image_frames: ImageFrames,
        noise: PixelNoise | None,
        canvas: tuple[int, int, int] | None,
        cache: Cache | NoCache | None,
    ) -> None:
        self.latents, self.image_encoder, self.cache = latents, image_encoder, cache
        self.image_frames: ImageFrames = image_frames
        up = rearrange(_upsampled(lr, upsample), "b f c h w -> f (b c) h w")
        up = up if canvas is None else padded(up, *canvas)
        self.up = rearrange(up, "f (b c) h w -> b f c h w", b=len(lr))
        self.shown = self.up if noise is None else _with_noise(self.up, noise)
        strength = None if noise is None else noise.strength
        self.noise_augmentation = strength if isinstance(strength, Tensor) else None
        self._images: dict[tuple[int, ...], Tensor] = {}

    @cached_property
    def latent(self) -> Tensor:
        """The encoding l of ``shown``."""
        parts = {"up": self.shown, "latents": self.latents}
        return self._cached("latent", parts, lambda: self.latents.condition(self.shown))

    def condition(self, tile: Tile | None = None) -> Condition:
        """Return the LR latents of a tile and the embeddings of its pictures; None for the whole canvas."""
        _, frames, _, rows, columns = self.latent.shape
        tile = tile or Tile(slice(0, frames), slice(0, rows), slice(0, columns))
        shown = pictures(tile, self.image_frames, (frames, rows, columns))
        image = torch.cat([self.image(picture) for picture in shown], dim=1)
        return Condition(self.latent[:, *tile.index], image, self.noise_augmentation)

    def image(self, picture: Tile) -> Tensor:
        """Return the embedding ``b 1 d`` of a single-frame crop of I^up, in units of l."""
        if picture.box not in self._images:
            with torch.autocast(self.up.device.type, enabled=False):
                self._images[picture.box] = self._embedding(self._pixels(picture))
        return self._images[picture.box]

    def x_T(self, seed: int, place: tuple[int, int, int]) -> Tensor:
        """Return the unit noise ``k h w`` that sampling starts from, of a single frame.

        Args:
            seed: seed of the video.
            place: frame, row and column of the first value in the latent of the whole video.
        """
        k, h, w = self.latent.shape[-3:]
        frame, top, left = place
        sides = range(top, top + h), range(left, left + w)
        return self._cached(
            "noise",
            {"seed": seed, "shape": (k, h, w), "place": place},
            lambda: gaussian_noise(seed, range(frame, frame + 1), k, *sides, self.up.device),
        )[0]

    def _embedding(self, frame: Tensor) -> Tensor:
        encoder = self.image_encoder
        if not isinstance(encoder, nn.Module):  # without a network it is faster to compute than to read
            return encoder(frame)
        return self._cached("embedding", {"frame": frame, "encoder": encoder}, lambda: encoder(frame))

    def _cached(self, name: str, parts: Mapping[str, object], make: Callable[[], Tensor]) -> Tensor:
        """Cache by device too, because rounding differs between devices."""
        if self.cache is None:
            return make()
        device = self.up.device
        kind = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        return self.cache(name, {**parts, "device": kind}, make).to(device)

    def _pixels(self, picture: Tile) -> Tensor:
        """Return the pixels ``b c h w`` of a single-frame crop."""
        pixels = picture.scaled(self.latents.autoencoder.factor)
        return self.up[:, pixels.frames.start, :, pixels.rows, pixels.columns]


def _upsampled(lr: Tensor, upsample: Upsample) -> Tensor:
    up = upsample(rearrange(lr, "b f c h w -> (b f) c h w"))
    return rearrange(up, "(b f) c h w -> b f c h w", b=len(lr))


def _with_noise(up: Tensor, noise: PixelNoise) -> Tensor:
    return torch.stack([noise.on(frame, i) for i, frame in enumerate(up.unbind(1))], dim=1)

"""Condition that the network sees: latents of the LR clip, and embeddings of its pictures.

Axes: video ``f c h w`` in [0, 1]; latent canvas ``f k h w``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dcvsr.models.conditioning import Conditioning, pictures, seeded_pixel_noise
from dcvsr.models.denoiser import Condition
from dcvsr.runtime.frame_stores import FrameStore
from dcvsr.tiling.grid import Tile

if TYPE_CHECKING:
    from dcvsr.models.upscaler import TiledUpscaler


@dataclass(frozen=True)
class LRClip:
    """LR frames that are upscaled as one video.

    Attributes:
        read: numbers of frames -> the frames, ``f c h w`` in [0, 1].
        frames, height, width: its size.
        start, top, left: frame, row and column where it begins in the video that it was cut out of. The noise
            depends on them, so that a part has the noise of its place.
    """

    read: Callable[[range], Tensor]
    frames: int
    height: int
    width: int
    start: int = 0
    top: int = 0
    left: int = 0

    @classmethod
    def of(cls, lr: Tensor) -> LRClip:
        """Return a clip of all frames of a video in memory."""
        return cls(lambda frames: lr[frames.start : frames.stop], len(lr), *lr.shape[-2:])


class ClipCondition:
    """Condition of the tiles of one clip; called with a tile, returns its `Condition`.

    Args:
        upscaler: model and settings.
        clip: the LR frames.
        l: store of their latents, which the caller fills.
        size: frames, rows and columns of the canvas; beyond the clip, its last frame repeats.
        device: device of the model.
    """

    def __init__(
        self,
        upscaler: TiledUpscaler,
        clip: LRClip,
        l: FrameStore,
        size: tuple[int, int, int],
        device: torch.device,
    ) -> None:
        self._upscaler, self._clip, self._l, self._size, self._device = upscaler, clip, l, size, device
        several = upscaler.image_frames == "each"  # frames that each tile of a window sees
        self._frame = lru_cache(upscaler.grid.frames if several else 1)(self._conditioned)
        self._window = lru_cache(1)(self._latents)
        self._embeddings: dict[tuple[int, ...], Tensor] = {}

    def __call__(self, tile: Tile) -> Condition:
        """Return the LR latents of a tile and the embeddings of its pictures."""
        latent = self._window(tile.frames.start, tile.frames.stop)
        shown = pictures(tile, self._upscaler.image_frames, self._size)
        return Condition(
            latent[None, :, :, tile.rows, tile.columns],
            torch.cat([self.embedding(picture) for picture in shown], dim=1),
        )

    def frame(self, i: int) -> Conditioning:
        """Return the conditioning of a frame of the canvas."""
        return self._frame(min(i, self._clip.frames - 1))

    def embedding(self, picture: Tile) -> Tensor:
        """Return the embedding of a picture, each computed once."""
        if picture.box not in self._embeddings:
            frame = self.frame(picture.frames.start)
            self._embeddings[picture.box] = frame.image(replace(picture, frames=slice(0, 1)))
        return self._embeddings[picture.box]

    def learn(self, pictures: Sequence[Tile], embeddings: Sequence[Tensor]) -> None:
        """Take embeddings that another process computed."""
        for picture, embedding in zip(pictures, embeddings, strict=True):
            self._embeddings[picture.box] = embedding.to(self._device)

    def place(self, i: int) -> tuple[int, int, int]:
        """Return frame, row and column in the whole video where frame ``i`` begins, in latent pixels."""
        return self._place(i, self._upscaler.latents.autoencoder.factor)

    def _place(self, i: int, pixels: int) -> tuple[int, int, int]:
        clip, factor = self._clip, self._upscaler.factor
        return clip.start + i, factor * clip.top // pixels, factor * clip.left // pixels

    def _conditioned(self, i: int) -> Conditioning:
        up, (_, height, width) = self._upscaler, self._size
        size = height * up.latents.autoencoder.factor, width * up.latents.autoencoder.factor
        with torch.autocast(self._device.type, enabled=False):  # a trainer's precision is not ours
            lr = self._clip.read(range(i, i + 1)).to(self._device)
            noise = None
            if up.noise_augmentation:
                place = self._place(i, 1)
                noise = seeded_pixel_noise(up.noise_augmentation, up.seed, place, size, self._device)
            return up.condition(lr[None], noise, (1, *size), cache=up.cache)

    def _latents(self, start: int, stop: int) -> Tensor:
        return self._l.read(range(start, stop)).to(self._device)

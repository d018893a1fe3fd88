"""What every run on an LR video starts from, whatever its guidance and propagation: hence it is cached.

Axes: video ``f c h w`` in [0, 1]; latent canvas ``f k h w``.
"""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from dcvsr.cache import Cache, NoCache
from dcvsr.diffusion.noise import gaussian_noise
from dcvsr.interpolation import Enlarge
from dcvsr.models.denoiser import Condition
from dcvsr.models.latents import Latents
from dcvsr.tiling.grid import Tile
from dcvsr.tiling.padding import padded

ImageEncoder = Callable[[Tensor], Tensor]


class Conditioning:
    """The LR video as a denoiser is shown it, and the noise that it starts from.

    ``_images``: box of a tile -> what the image encoder made of it; written by ``condition`` alone.

    Args:
        lr: ``f c h w``.
        enlarge: makes I^up of it.
        canvas: frames, height and width that the enlarged video is padded to.
    """

    def __init__(
        self,
        lr: Tensor,
        enlarge: Enlarge,
        canvas: tuple[int, int, int],
        latents: Latents,
        image_encoder: ImageEncoder,
        cache: Cache | NoCache,
    ) -> None:
        self.latents, self.image_encoder, self.cache = latents, image_encoder, cache
        self.up = padded(torch.cat([enlarge(frame) for frame in lr.split(1)]), *canvas)
        self.latent = self._cached(
            "latent",
            {"up": self.up, "latents": latents},
            lambda: latents.condition(self.up[None])[0],
        )
        self._images: dict[tuple[int, ...], Tensor] = {}

    def condition(self, tile: Tile) -> Condition:
        """The tile's LR latents, and the embedding of its first frame (spec A12)."""
        if tile.box not in self._images:
            with torch.autocast(self.up.device.type, enabled=False):
                self._images[tile.box] = self._embedding(self._first_frame(tile))
        return Condition(self.latent[tile.index][None], self._images[tile.box])

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

    def _first_frame(self, tile: Tile) -> Tensor:
        scale = self.latents.autoencoder.factor
        rows, columns = (slice(s.start * scale, s.stop * scale) for s in (tile.rows, tile.columns))
        return self.up[tile.frames.start, :, rows, columns][None]

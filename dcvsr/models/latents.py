"""What the denoiser works on: how frames become latents, and latents frames.

Axes: video ``b f c h w`` in [0, 1]; latent ``b f k h w``.
``up`` is I^up, the LR video enlarged to the target size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from einops import rearrange
from torch import Tensor


class Autoencoder(Protocol):
    """A frozen autoencoder; ``factor`` pixels of a side become one latent of ``channels`` channels."""

    factor: int
    channels: int

    def encode(self, video: Tensor, /) -> Tensor: ...
    def decode(self, latent: Tensor, /) -> Tensor: ...


class Latents(Protocol):
    """The three maps between video and latents."""

    @property
    def autoencoder(self) -> Autoencoder: ...

    def condition(self, up: Tensor) -> Tensor:
        """I^up -> l, what the denoiser is shown."""
        ...

    def target(self, hr: Tensor, up: Tensor) -> Tensor:
        """HR -> y, what the denoiser estimates."""
        ...

    def decode(self, y: Tensor, l: Tensor) -> Tensor:
        """The inverse of ``target`` given l: y -> video, not clamped."""
        ...


@dataclass(frozen=True)
class SVDLatents:
    """SVD's two: the estimated latent times ``scale``, the conditioning latent as it is (spec 2.3, A15)."""

    autoencoder: Autoencoder
    scale: float

    def condition(self, up: Tensor) -> Tensor:
        return self.autoencoder.encode(up)

    def target(self, hr: Tensor, up: Tensor) -> Tensor:
        return self.autoencoder.encode(hr) * self.scale

    def decode(self, y: Tensor, l: Tensor) -> Tensor:
        return self.autoencoder.decode(y / self.scale)


@dataclass(frozen=True)
class ResidualLatents:
    """y = (E(HR) - E(I^up)) / ``residual_std``: the detail that I^up lacks, whitened per channel.

    A small network learns the missing detail long before it learns to copy brightness through its
    normalisation layers. l = (E(I^up) - ``condition_mean``) / ``condition_std``; a number per channel each.
    """

    autoencoder: Autoencoder
    residual_std: Sequence[float]
    condition_mean: Sequence[float]
    condition_std: Sequence[float]

    def condition(self, up: Tensor) -> Tensor:
        latent = self.autoencoder.encode(up)
        return (latent - _per_channel(self.condition_mean, latent)) / _per_channel(self.condition_std, latent)

    def target(self, hr: Tensor, up: Tensor) -> Tensor:
        residual = self.autoencoder.encode(hr) - self.autoencoder.encode(up)
        return residual / _per_channel(self.residual_std, residual)

    def decode(self, y: Tensor, l: Tensor) -> Tensor:
        base = l * _per_channel(self.condition_std, l) + _per_channel(self.condition_mean, l)
        return self.autoencoder.decode(base + y * _per_channel(self.residual_std, y))


def _per_channel(numbers: Sequence[float], like: Tensor) -> Tensor:
    return rearrange(torch.tensor(list(numbers)).to(like), "k -> k 1 1")

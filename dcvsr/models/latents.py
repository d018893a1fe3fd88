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
from torch.nn import functional as F


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
    """y = (E(HR) - E(I^up)) / (``residual_std`` a): the detail that I^up lacks, whitened.

    A small network learns the missing detail long before it learns to copy brightness through its
    normalisation layers. a is the contrast of I^up around a place (ours): little detail is missing where I^up
    is flat, and what the network gets wrong there stays as small. l = (E(I^up) - ``condition_mean``) /
    ``condition_std``; the three have a number per channel.

    Args:
        window: latents that the contrast is taken over, an odd number.
        least_contrast: added to it in squares; a standard deviation of luma in [0, 1].
    """

    autoencoder: Autoencoder
    residual_std: Sequence[float]
    condition_mean: Sequence[float]
    condition_std: Sequence[float]
    window: int
    least_contrast: float

    def condition(self, up: Tensor) -> Tensor:
        latent = self.autoencoder.encode(up)
        return (latent - _per_channel(self.condition_mean, latent)) / _per_channel(self.condition_std, latent)

    def target(self, hr: Tensor, up: Tensor) -> Tensor:
        return (self.autoencoder.encode(hr) - self.autoencoder.encode(up)) / self._scale(up)

    def decode(self, y: Tensor, l: Tensor) -> Tensor:
        base = l * _per_channel(self.condition_std, l) + _per_channel(self.condition_mean, l)
        return self.autoencoder.decode(base + y * self._scale(self.autoencoder.decode(base)))

    def _scale(self, up: Tensor) -> Tensor:
        return _per_channel(self.residual_std, up) * self._contrast(up)

    def _contrast(self, up: Tensor) -> Tensor:
        """Video -> ``b f 1 h w``."""
        luma = up.mean(dim=2).double()  # the difference below keeps few digits
        mean, square = (_pooled(moment, self.window, self.autoencoder.factor) for moment in (luma, luma**2))
        variance = (square - mean**2).clamp(min=0)
        return (variance + self.least_contrast**2).sqrt()[:, :, None].to(up.dtype)


def _pooled(image: Tensor, window: int, factor: int) -> Tensor:
    """Mean of ``b f h w`` over ``window`` latents each way, at every latent; over fewer at the border."""
    return F.avg_pool2d(image, window * factor, factor, padding=window // 2 * factor, count_include_pad=False)


def _per_channel(numbers: Sequence[float], like: Tensor) -> Tensor:
    return rearrange(torch.tensor(list(numbers)).to(like), "k -> k 1 1")

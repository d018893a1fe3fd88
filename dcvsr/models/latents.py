"""What the denoiser works on: how frames become latents, and latents frames.

Axes: video ``b f c h w`` in [0, 1]; latent ``b f k h w``.
``up`` is I^up, the LR video upsampled to the target size.
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
    def decoded_frames(self, frames: int, /) -> int: ...


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
    (``condition_std`` a), without a for brightness and colour, so that what is shown and what is estimated
    have one measure. The three have a number per channel.

    Args:
        means: the channels that hold brightness and colour; all others are zero where a block is flat.
        window: latents that the contrast is taken over, an odd number.
        least_contrast: added to it in squares; a standard deviation of luma in [0, 1].
    """

    autoencoder: Autoencoder
    means: Sequence[int]
    residual_std: Sequence[float]
    condition_mean: Sequence[float]
    condition_std: Sequence[float]
    window: int
    least_contrast: float

    def condition(self, up: Tensor) -> Tensor:
        latent = self.autoencoder.encode(up)
        measure = torch.where(self._is_mean(latent), 1, self._contrast(up))
        centred = latent - _per_channel(self.condition_mean, latent)
        return centred / (_per_channel(self.condition_std, latent) * measure)

    def target(self, hr: Tensor, up: Tensor) -> Tensor:
        residual = self.autoencoder.encode(hr) - self.autoencoder.encode(up)
        return residual / (_per_channel(self.residual_std, residual) * self._contrast(up))

    def decode(self, y: Tensor, l: Tensor) -> Tensor:
        flat = torch.where(self._is_mean(l), l, 0)
        contrast = self._contrast(self.autoencoder.decode(self._latent(flat)))
        base = self._latent(torch.where(self._is_mean(l), l, l * contrast))
        return self.autoencoder.decode(base + y * _per_channel(self.residual_std, y) * contrast)

    def _latent(self, shown: Tensor) -> Tensor:
        return shown * _per_channel(self.condition_std, shown) + _per_channel(self.condition_mean, shown)

    def _is_mean(self, latent: Tensor) -> Tensor:
        chosen = torch.zeros(latent.shape[2], 1, 1, dtype=torch.bool, device=latent.device)
        chosen[list(self.means)] = True
        return chosen

    def _contrast(self, up: Tensor) -> Tensor:
        """Video -> ``b f 1 h w``: how much the brightness of whole blocks differs around each."""
        luma = up.mean(dim=2).double()  # the difference below keeps few digits
        blocks = F.avg_pool2d(luma, self.autoencoder.factor)
        mean, square = (_pooled(moment, self.window) for moment in (blocks, blocks**2))
        variance = (square - mean**2).clamp(min=0)
        return (variance + self.least_contrast**2).sqrt()[:, :, None].to(up.dtype)


def _pooled(image: Tensor, window: int) -> Tensor:
    """Mean of ``b f h w`` over ``window`` each way, over fewer at the border."""
    return F.avg_pool2d(image, window, stride=1, padding=window // 2, count_include_pad=False)


def _per_channel(numbers: Sequence[float], like: Tensor) -> Tensor:
    return rearrange(torch.tensor(list(numbers)).to(like), "k -> k 1 1")

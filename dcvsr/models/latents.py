"""Mapping between video and the latents of the denoiser.

Axes: video ``b f c h w`` in [0, 1]; latent ``b f k h w``.
``up`` is I^up, the LR video upsampled to the target size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F


class Autoencoder(Protocol):
    """Frozen autoencoder: ``factor`` pixels per side become one latent pixel of ``channels`` channels.

    Frames are encoded alone and decoded by chunks of ``chunk`` frames, which share ``overlap``.
    """

    factor: int
    channels: int
    chunk: int
    overlap: int

    def encode(self, video: Tensor, /) -> Tensor:
        """Encode video to a latent."""
        ...

    def decode(self, latent: Tensor, /) -> Tensor:
        """Decode a latent to video, not clamped."""
        ...

    def decoding_memory(self, frames: int, height: int, width: int, /) -> int:
        """Estimate the bytes that decoding a video of this size needs beside a few copies of the video."""
        ...

    def decoded_sizes(self, frames: int, height: int, width: int, /) -> list[tuple[int, int, int]]:
        """Return frames, height and width of each part decoded for a video of this size in pixels."""
        ...


class Latents(Protocol):
    """The three maps between video and latents: condition, target and its inverse.

    ``target_sees_up`` is False where the target depends on HR alone.
    """

    target_sees_up: ClassVar[bool]

    @property
    def autoencoder(self) -> Autoencoder:
        """The autoencoder of the latents."""
        ...

    def condition(self, up: Tensor) -> Tensor:
        """Compute the conditioning latent l from I^up."""
        ...

    def target(self, hr: Tensor, up: Tensor) -> Tensor:
        """Compute the denoiser's target y from HR."""
        ...

    def decode(self, y: Tensor, l: Tensor) -> Tensor:
        """Compute the video from y, the inverse of ``target`` given l; not clamped."""
        ...


@dataclass(frozen=True)
class SVDLatents:
    """Latents of SVD: the target is scaled by ``scale``, the condition is not (spec 2.3, A15)."""

    target_sees_up: ClassVar[bool] = False
    autoencoder: Autoencoder
    scale: float

    def condition(self, up: Tensor) -> Tensor:
        """Compute the conditioning latent l from I^up."""
        return self.autoencoder.encode(up)

    def target(self, hr: Tensor, up: Tensor) -> Tensor:
        """Compute the target y from HR and I^up."""
        return self.autoencoder.encode(hr) * self.scale

    def decode(self, y: Tensor, l: Tensor) -> Tensor:
        """Compute the video from y and l."""
        return self.autoencoder.decode(y / self.scale)


@dataclass(frozen=True)
class ResidualLatents:
    """Latents of the whitened residual: y = (E(HR) - E(I^up)) / (``residual_std`` a).

    A small network learns the missing detail much sooner than it learns to copy brightness through its
    normalisation layers. a is the local contrast of I^up (ours): where I^up is flat, little detail is missing
    and errors of the network are scaled down. l = (E(I^up) - ``condition_mean``) / (``condition_std`` a),
    without a for brightness and colour, so that condition and target have the same unit. The three
    parameters have one number per channel.

    Args:
        autoencoder: E and its inverse.
        means: channels of brightness and colour; all others are zero in flat blocks.
        residual_std: standard deviations of E(HR) - E(I^up).
        condition_mean: means of E(I^up).
        condition_std: standard deviations of E(I^up).
        window: odd number of latent pixels over which the contrast is computed.
        least_contrast: added to the contrast in squares; a standard deviation of luma in [0, 1].
    """

    target_sees_up: ClassVar[bool] = True
    autoencoder: Autoencoder
    means: Sequence[int]
    residual_std: Sequence[float]
    condition_mean: Sequence[float]
    condition_std: Sequence[float]
    window: int
    least_contrast: float

    def condition(self, up: Tensor) -> Tensor:
        """Compute the conditioning latent l from I^up."""
        latent = self.autoencoder.encode(up)
        measure = torch.where(self._is_mean(latent), 1, self._contrast(up))
        centred = latent - _per_channel(self.condition_mean, latent)
        return centred / (_per_channel(self.condition_std, latent) * measure)

    def target(self, hr: Tensor, up: Tensor) -> Tensor:
        """Compute the target y from HR and I^up."""
        residual = self.autoencoder.encode(hr) - self.autoencoder.encode(up)
        return residual / (_per_channel(self.residual_std, residual) * self._contrast(up))

    def decode(self, y: Tensor, l: Tensor) -> Tensor:
        """Compute the video from y and l."""
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

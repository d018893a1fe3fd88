"""Training loss: denoising of a clip at a random noise level."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

DenoiseBatch = Callable[[Tensor, Tensor], Tensor]
"""``(x, sigma) -> D_x``: b f c h w and b -> b f c h w."""


@dataclass(frozen=True)
class EDMLoss:
    """Loss of Eq. (11) with ln sigma ~ N(P_mean, P_std^2), one noise level per clip (spec A21).

    The weight cancels c_out of Eq. (12), so Eq. (11) equals the mean squared error of the network on v.
    """

    P_mean: float
    P_std: float

    def sigma(self, clips: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw noise levels from p_train(sigma); shape ``b``."""
        return (self.P_mean + self.P_std * torch.randn(clips, generator=generator)).exp()

    def __call__(self, denoise: DenoiseBatch, y: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        """Compute the loss of each clip, b, from ``y`` and unit ``noise``, b f c h w, and ``sigma``, b."""
        level = rearrange(sigma, "b -> b 1 1 1 1")
        return self.of(denoise(y + level * noise, sigma), y, sigma)

    def of(self, D_x: Tensor, y: Tensor, sigma: Tensor) -> Tensor:
        """Compute the loss of each estimate ``D_x`` of ``y``, b f c h w, at noise levels ``sigma``, b."""
        level = rearrange(sigma, "b -> b 1 1 1 1")
        weight = (1 + level**2) / level**2
        return (weight * (D_x - y) ** 2).mean(dim=(1, 2, 3, 4))  # Eq. (11)

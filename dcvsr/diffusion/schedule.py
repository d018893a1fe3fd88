"""Noise levels over the sampling steps."""

import torch
from torch import Tensor


def karras_sigmas(steps: int, sigma_min: float, sigma_max: float, rho: float) -> Tensor:
    """Karras et al. 2022, Eq. (5): ``steps`` noise levels from ``sigma_max`` down to ``sigma_min``, then 0.

    Returns:
        float64 tensor of ``steps + 1`` levels.

    Raises:
        ValueError: if ``steps`` < 1 or not 0 < ``sigma_min`` <= ``sigma_max``.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    if not 0 < sigma_min <= sigma_max:
        raise ValueError(
            f"noise levels must satisfy 0 < sigma_min <= sigma_max, got {sigma_min}, {sigma_max}"
        )
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    sigmas = (high + ramp * (low - high)) ** rho
    return torch.cat([sigmas, sigmas.new_zeros(1)])

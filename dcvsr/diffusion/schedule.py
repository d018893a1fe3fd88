"""Noise levels of the sampler steps, and gamma of DSSAG."""

import math

import torch
from torch import Tensor


def karras_sigmas(steps: int, sigma_min: float, sigma_max: float, rho: float) -> Tensor:
    """Compute ``steps`` noise levels from ``sigma_max`` down to ``sigma_min``, then 0.

    Karras et al. 2022, Eq. (5).

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
    sigmas[-1], sigmas[0] = sigma_min, sigma_max  # exact ends: gamma is 0 at the last level
    return torch.cat([sigmas, sigmas.new_zeros(1)])


def suppression(sigma: float, rho: float, sigma_min: float, sigma_max: float) -> float:
    """Compute gamma of Eq. (10): 1 at ``sigma_max``, falling to 0 at ``sigma_min``.

    Eq. (10) numbers steps as appendix E does, noise first, which contradicts section 3. This function uses
    the noise level instead, on which both agree, and clamps gamma, which rounding would make negative at the
    last step (spec 3).

    Raises:
        ValueError: if not ``sigma`` > 0, ``rho`` >= 0 and 0 < ``sigma_min`` < ``sigma_max``.
    """
    if not sigma > 0:
        raise ValueError(f"gamma is undefined at sigma={sigma}; noise levels must be above 0")
    if rho < 0 or not 0 < sigma_min < sigma_max:
        raise ValueError(
            f"Eq. (10) needs rho >= 0 and 0 < sigma_min < sigma_max, got {rho}, {sigma_min}, {sigma_max}"
        )
    fraction = math.log(sigma / sigma_min) / math.log(sigma_max / sigma_min)
    return min(max(fraction, 0), 1) ** rho  # Eq. (10)

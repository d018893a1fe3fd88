"""The seven blur kernels of Real-ESRGAN (Wang et al. 2021, section 3.1), which RealBasicVSR draws from.

Axes: y x taps of a kernel, ``size size``, float64. Each kernel sums to one.
"""

import math

import torch
from torch import Tensor


def gaussian(size: int, sigma_x: float, sigma_y: float | None = None, angle: float = 0) -> Tensor:
    """Compute exp(-r2 / 2); isotropic without ``sigma_y``. Sigmas in pixels, angle in radians."""
    return _unit_sum(torch.exp(-_r2(size, sigma_x, sigma_y, angle) / 2))


def generalized_gaussian(
    size: int, beta: float, sigma_x: float, sigma_y: float | None = None, angle: float = 0
) -> Tensor:
    """Compute exp(-r2^beta / 2): a larger beta flattens the top."""
    return _unit_sum(torch.exp(-(_r2(size, sigma_x, sigma_y, angle) ** beta) / 2))


def plateau(size: int, beta: float, sigma_x: float, sigma_y: float | None = None, angle: float = 0) -> Tensor:
    """Compute 1 / (1 + r2^beta)."""
    return _unit_sum(1 / (1 + _r2(size, sigma_x, sigma_y, angle) ** beta))


def sinc(size: int, omega: float) -> Tensor:
    """Compute omega J1(omega r) / (2 pi r), the ideal low-pass of cutoff ``omega`` radians per pixel."""
    x, y = _grid(size)
    r = torch.hypot(x, y)
    centre = r == 0
    r[centre] = 1
    kernel = omega * torch.special.bessel_j1(omega * r) / (2 * math.pi * r)
    kernel[centre] = omega**2 / (4 * math.pi)
    return _unit_sum(kernel)


def _r2(size: int, sigma_x: float, sigma_y: float | None, angle: float) -> Tensor:
    """Compute the squared distance from the centre in units of sigma, along axes rotated by ``angle``."""
    x, y = _grid(size)
    along = math.cos(angle) * x + math.sin(angle) * y
    across = math.cos(angle) * y - math.sin(angle) * x
    return (along / sigma_x) ** 2 + (across / (sigma_y or sigma_x)) ** 2


def _grid(size: int) -> tuple[Tensor, Tensor]:
    taps = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    y, x = torch.meshgrid(taps, taps, indexing="ij")
    return x, y


def _unit_sum(kernel: Tensor) -> Tensor:
    return kernel / kernel.sum()

"""Solvers of the probability-flow ODE, from noise at sigma_max down to the clean latent."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from dcvsr.diffusion.schedule import karras_sigmas

Denoise = Callable[[Tensor, float, int], Tensor]
"""``(x, sigma, step) -> D_x``; the step index is for those who alternate, shift or count by it."""


@dataclass(frozen=True)
class Euler:
    """Karras et al. 2022, Algorithm 1 without its second-order correction: SVD's deterministic sampler."""

    steps: int
    sigma_min: float
    sigma_max: float
    rho: float

    def __post_init__(self) -> None:
        karras_sigmas(self.steps, self.sigma_min, self.sigma_max, self.rho)

    def __call__(self, denoise: Denoise, noise: Tensor) -> Tensor:
        """From unit ``noise`` to the clean latent, state in float32."""
        sigmas = karras_sigmas(self.steps, self.sigma_min, self.sigma_max, self.rho).tolist()
        # SVD starts from the variance of signal plus noise, not of noise alone (spec 2.2).
        x = noise.float() * (sigmas[0] ** 2 + 1) ** 0.5
        for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
            d = (x - denoise(x, sigma, step)) / sigma
            x = x + (sigma_next - sigma) * d
        return x

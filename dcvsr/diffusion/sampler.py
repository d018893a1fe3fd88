"""Solvers of the probability-flow ODE, from noise at sigma_max down to the clean latent."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from dcvsr.diffusion.schedule import karras_sigmas

DenoiseCanvas = Callable[[Tensor, float, int], Tensor]
"""``(x, sigma, step) -> D_x``; propagation and tile schedules alternate or shift by the step index."""


@dataclass(frozen=True)
class Euler:
    """Karras et al. 2022, Algorithm 1 without its second-order correction: SVD's deterministic sampler."""

    steps: int
    sigma_min: float
    sigma_max: float
    rho: float

    def __post_init__(self) -> None:
        _ = self.sigmas

    @property
    def sigmas(self) -> list[float]:
        """Noise levels, descending, and 0."""
        return karras_sigmas(self.steps, self.sigma_min, self.sigma_max, self.rho).tolist()

    @property
    def evaluations(self) -> list[int]:
        """The step index of every evaluation of the denoiser."""
        return list(range(self.steps))

    def __call__(self, denoise: DenoiseCanvas, noise: Tensor) -> Tensor:
        """From unit ``noise`` to the clean latent, state in float32."""
        return deque(self.states(denoise, noise), maxlen=1).pop()

    def states(self, denoise: DenoiseCanvas, noise: Tensor) -> Iterator[Tensor]:
        """x_T, ..., x_0: the state before each step, and the clean latent."""
        sigmas = self.sigmas
        # SVD starts from the variance of signal plus noise, not of noise alone (spec 2.2).
        x = noise.float() * (sigmas[0] ** 2 + 1) ** 0.5
        yield x
        for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
            x = self._next(denoise, x, sigma, sigma_next, step)
            yield x

    def _next(self, denoise: DenoiseCanvas, x: Tensor, sigma: float, sigma_next: float, step: int) -> Tensor:
        d = (x - denoise(x, sigma, step)) / sigma
        return x + (sigma_next - sigma) * d


@dataclass(frozen=True)
class Heun(Euler):
    """Karras et al. 2022, Algorithm 1: each step but the last is corrected by a second evaluation at its end.

    Both evaluations of a step count as that step for whoever alternates or shifts by it.
    """

    @property
    def evaluations(self) -> list[int]:
        return [step for step in range(self.steps) for _ in range(2)][:-1]

    def _next(self, denoise: DenoiseCanvas, x: Tensor, sigma: float, sigma_next: float, step: int) -> Tensor:
        d = (x - denoise(x, sigma, step)) / sigma
        x_next = x + (sigma_next - sigma) * d
        if sigma_next == 0:
            return x_next
        d_next = (x_next - denoise(x_next, sigma_next, step)) / sigma_next
        return x + (sigma_next - sigma) * (d + d_next) / 2

"""Sampler: solvers of the probability-flow ODE from noise at sigma_max to the clean latent."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from torch import Tensor

from dcvsr.diffusion.schedule import karras_sigmas
from dcvsr.runtime.choices import require_choice

DenoiseCanvas = Callable[[Tensor, float, int], Tensor]
"""``(x, sigma, step) -> D_x``; propagation and tile schedules depend on the step index."""


Solver = Literal["euler", "heun"]


@dataclass(frozen=True)
class Sampler:
    """Deterministic sampler of Karras et al. 2022, Algorithm 1.

    Attributes:
        solver: ``euler`` leaves out the second-order correction, as SVD's sampler does. ``heun`` corrects
            each step but the last by a second evaluation at its end. Propagation and tile schedules count
            both evaluations as one step.

    Raises:
        ValueError: if a number is impossible, or ``solver`` is not a choice.
    """

    steps: int
    sigma_min: float
    sigma_max: float
    rho: float
    solver: Solver = "euler"

    def __post_init__(self) -> None:
        require_choice("solver", self.solver, get_args(Solver))
        _ = self.sigmas

    @property
    def sigmas(self) -> list[float]:
        """Noise levels in descending order, then 0."""
        return karras_sigmas(self.steps, self.sigma_min, self.sigma_max, self.rho).tolist()

    @property
    def evaluations(self) -> list[tuple[int, float]]:
        """Step index and noise level of every evaluation of the denoiser."""
        starts, ends = list(enumerate(self.sigmas[:-1])), list(enumerate(self.sigmas[1:]))
        if self.solver == "euler":
            return starts
        return [each for pair in zip(starts, ends, strict=True) for each in pair][:-1]

    def __call__(self, denoise: DenoiseCanvas, noise: Tensor) -> Tensor:
        """Compute the clean latent from unit ``noise``; the state is float32."""
        return deque(self.states(denoise, noise), maxlen=1).pop()

    def states(self, denoise: DenoiseCanvas, noise: Tensor) -> Iterator[Tensor]:
        """Yield x_T, ..., x_0: the state before each step, then the clean latent."""
        sigmas = self.sigmas
        # SVD starts from the variance of signal plus noise, not of noise alone (spec 2.2).
        x = noise.float() * (sigmas[0] ** 2 + 1) ** 0.5
        yield x
        for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
            x = self._next(denoise, x, sigma, sigma_next, step)
            yield x

    def _next(self, denoise: DenoiseCanvas, x: Tensor, sigma: float, sigma_next: float, step: int) -> Tensor:
        d = (x - denoise(x, sigma, step)) / sigma
        x_next = x + (sigma_next - sigma) * d
        if self.solver == "euler" or sigma_next == 0:
            return x_next
        d_next = (x_next - denoise(x_next, sigma_next, step)) / sigma_next
        return x + (sigma_next - sigma) * (d + d_next) / 2

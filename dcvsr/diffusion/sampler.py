"""Sampler: solvers of the probability-flow ODE from noise at sigma_max to the clean latent."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
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

    @cached_property
    def sigmas(self) -> list[float]:
        """Noise levels in descending order, then 0."""
        return karras_sigmas(self.steps, self.sigma_min, self.sigma_max, self.rho).tolist()

    @cached_property
    def evaluations(self) -> list[tuple[int, float]]:
        """Step index and noise level of every evaluation of the denoiser."""
        starts, ends = list(enumerate(self.sigmas[:-1])), list(enumerate(self.sigmas[1:]))
        if self.solver == "euler":
            return starts
        return [each for pair in zip(starts, ends, strict=True) for each in pair][:-1]

    def mismatch(self, trained: "Sampler") -> str | None:
        """Describe the difference from the sampler that weights were trained for, with the way out.

        Returns:
            The predicate of a sentence on the weights; None if both evaluate at the same noise levels.
        """
        if self.evaluations == trained.evaluations:
            return None
        names = [
            each.name for each in fields(self) if getattr(self, each.name) != getattr(trained, each.name)
        ]
        theirs, ours = (
            " ".join(f"sampler.{name}={getattr(sampler, name)}" for name in names)
            for sampler in (trained, self)
        )
        return (
            f"was trained for {theirs} (noise levels {trained._levels}), this run uses {ours} "
            f"({self._levels}): add {theirs}"
        )

    @property
    def _levels(self) -> str:
        levels = [f"{sigma:.3g}" for sigma in self.sigmas[:-1]]
        return ", ".join(levels if len(levels) <= 5 else [*levels[:3], "...", levels[-1]])

    def __call__(self, denoise: DenoiseCanvas, noise: Tensor) -> Tensor:
        """Compute the clean latent from unit ``noise``; the state is float32."""
        before = x = self.initial(noise)
        for number, (step, sigma) in enumerate(self.evaluations):
            before, x = x, self.update(number, x, denoise(x, sigma, step), before)
        return x

    def initial(self, noise: Tensor) -> Tensor:
        """Return x_T of unit ``noise``, float32."""
        # SVD starts from the variance of signal plus noise, not of noise alone (spec 2.2).
        return noise.float() * (self.sigmas[0] ** 2 + 1) ** 0.5

    def update(self, number: int, x: Tensor, D_x: Tensor, before: Tensor) -> Tensor:
        """Compute the state after an evaluation of the denoiser; every position alone.

        Args:
            number: index in ``evaluations``.
            x: the state at this evaluation.
            D_x: the denoiser's estimate at it.
            before: the state at the evaluation before, which only a correction of ``heun`` reads.
        """
        step, sigma = self.evaluations[number]
        sigma_next = self.sigmas[step + 1]
        d = (x - D_x) / sigma
        if sigma == sigma_next:  # a correction: x = before + (sigma_next - sigma_before) d_before
            return (before + x + (sigma_next - self.sigmas[step]) * d) / 2
        return x + (sigma_next - sigma) * d

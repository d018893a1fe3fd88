"""Guidance: how several denoised estimates become one; on D, for which the paper's equations hold alike.

A guidance sees only a denoise callable, ``(x, sigma, condition) -> D_x``, and a condition with its null.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from torch import Tensor


class Conditioned(Protocol):
    """A condition c with an empty counterpart."""

    @property
    def null(self) -> Self: ...


C = TypeVar("C", bound=Conditioned)
Denoise = Callable[[Tensor, float, C], Tensor]


@dataclass(frozen=True)
class NoGuidance:
    """The conditional estimate as it is: one evaluation per step."""

    def __call__(self, denoise: Denoise[C], x: Tensor, sigma: float, condition: C) -> Tensor:
        return denoise(x, sigma, condition)


@dataclass(frozen=True)
class CFG:
    """Eq. (3): classifier-free guidance; ``scale`` = 0 is no guidance. Two evaluations per step.

    The paper leaves its scale open; we take 1, constant over frames (spec A11).
    """

    scale: float

    def __call__(self, denoise: Denoise[C], x: Tensor, sigma: float, condition: C) -> Tensor:
        unconditional = denoise(x, sigma, condition.null)
        return unconditional + (1 + self.scale) * (denoise(x, sigma, condition) - unconditional)  # Eq. (3)

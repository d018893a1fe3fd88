"""Alternation of SAP and TAP over the sampling steps (section 3)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from dcvsr.attention.branches import BRANCHES, Branches
from dcvsr.attention.joint import JointRound
from dcvsr.attention.propagation import NoPropagation, Round, SpatialPropagation, TemporalPropagation
from dcvsr.runtime.choices import require_choice


def countdown(step: int, steps: int) -> int:
    """Return t = T, ..., 1: section 3 and Fig. 2, so that 25 steps begin with TAP (spec A4)."""
    return steps - step


def ascending(step: int, steps: int) -> int:
    """Return t = 0, ..., T - 1: appendix E."""
    return step


Parity = Literal["countdown", "ascending"]
PARITIES: Mapping[Parity, Callable[[int, int], int]] = {"countdown": countdown, "ascending": ascending}
"""Name -> ``(step from 0, steps) ->`` the number whose parity decides: even is SAP, odd is TAP."""


@dataclass(frozen=True)
class Alternating:
    """SAP and TAP in turn (section 3); with one of them None, the other at every step.

    Attributes:
        parity: numbering of the steps; even numbers are SAP, odd ones TAP.
        branches: propagation in the guidance branches other than the conditional one.
        joint: both at every step.

    Raises:
        ValueError: if ``parity`` or ``branches`` is not a choice, or ``joint`` is to evaluate tiles twice.
    """

    sap: SpatialPropagation | None
    tap: TemporalPropagation | None
    parity: Parity
    branches: Branches
    joint: bool = False

    def __post_init__(self) -> None:
        require_choice("parity", self.parity, PARITIES)
        require_choice("branches", self.branches, BRANCHES)
        twice = self.sap and self.tap and (self.sap.exchange, self.tap.source) != ("lockstep", "chained")
        if self.joint and twice:
            raise ValueError("joint=true needs sap.exchange=lockstep and tap.source=chained")

    def round(self, step: int, steps: int) -> Round:
        """Return the exchange of ``step``, counted from 0, of ``steps``."""
        scheme = self.sap or self.tap or NoPropagation()
        if self.sap and self.tap and self.joint:
            return BRANCHES[self.branches](JointRound(self.sap, self.tap.round(step, steps)))
        if self.sap and self.tap:
            even = PARITIES[self.parity](step, steps) % 2 == 0
            scheme, step = self.sap if even else self.tap, step // 2
        return BRANCHES[self.branches](scheme.round(step, steps))

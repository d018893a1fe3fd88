"""Parameters that follow a random walk over the frames of a clip (RealBasicVSR; spec 5.2)."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from torch import Generator

from dcvsr.degradation.seeds import seed, uniform

Params = dict[str, Any]
"""Drawn parameters as plain JSON values."""


@dataclass(frozen=True)
class Walk:
    """Random walk: uniform in [low, high] at the first frame, then U(-step, step) per frame, clamped."""

    low: float
    high: float
    step: float

    def __post_init__(self) -> None:
        if not (self.low <= self.high and self.step >= 0):
            raise ValueError(
                f"a walk needs low <= high and step >= 0, got {self.low}, {self.high}, {self.step}"
            )

    def draw(self, generator: Generator) -> Params:
        """Draw the start and the seed of a walk."""
        return self.draw_from(generator, uniform(generator, self.low, self.high))

    def draw_from(self, generator: Generator, start: float) -> Params:
        """Draw the seed of a walk that begins at ``start``."""
        limits = {"step": self.step, "low": self.low, "high": self.high}
        return {"start": start, **limits, "seed": seed(generator)}


def walked(params: Params) -> Iterator[float]:
    """Yield the values of a drawn walk frame by frame, without end.

    Python guarantees the same numbers of ``Random(seed).random()`` in all versions, so a few numbers describe
    a walk of any length.
    """
    random, value = Random(params["seed"]), params["start"]
    while True:
        yield value
        moved = value + params["step"] * (2 * random.random() - 1)
        value = min(max(moved, params["low"]), params["high"])

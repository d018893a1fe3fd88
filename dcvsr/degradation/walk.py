"""Parameters that walk at random over the frames of a clip (RealBasicVSR; spec 5.2)."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from torch import Generator

from dcvsr.degradation.seeds import seed, uniform

Params = dict[str, Any]
"""What was drawn, as plain JSON values."""


@dataclass(frozen=True)
class Walk:
    """Uniform in [low, high] at the first frame, then U(-step, step) further at each frame, kept inside."""

    low: float
    high: float
    step: float

    def __post_init__(self) -> None:
        if not (self.low <= self.high and self.step >= 0):
            raise ValueError(
                f"a walk needs low <= high and step >= 0, got {self.low}, {self.high}, {self.step}"
            )

    def draw(self, generator: Generator) -> Params:
        return self.draw_from(generator, uniform(generator, self.low, self.high))

    def draw_from(self, generator: Generator, start: float) -> Params:
        """A walk whose first value is given."""
        limits = {"step": self.step, "low": self.low, "high": self.high}
        return {"start": start, **limits, "seed": seed(generator)}


def walked(params: Params) -> Iterator[float]:
    """The values of a drawn walk, frame by frame, without end.

    Python promises that ``Random(seed).random()`` gives the same numbers in all its versions: so few numbers
    can stand for a walk of any length.
    """
    random, value = Random(params["seed"]), params["start"]
    while True:
        yield value
        moved = value + params["step"] * (2 * random.random() - 1)
        value = min(max(moved, params["low"]), params["high"])

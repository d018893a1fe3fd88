"""What degradations are composed of: steps, one after the other.

Axes: frames are ``c h w``; between a resize and a codec those of one clip may differ in size.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor

from dcvsr.degradation.seeds import choose
from dcvsr.degradation.walk import Params


class Step(Protocol):
    """Parameters are drawn first, for a clip of HR shape ``f c h w``; what they do is then determined."""

    def draw(self, generator: Generator, shape: Sequence[int]) -> Params | None: ...

    def apply(self, params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Frame by frame, as they come."""
        ...


@dataclass(frozen=True)
class InTurn:
    """Steps in the order of their names in the parameters; a step without parameters is left out."""

    steps: Mapping[str, Step]

    def draw(self, generator: Generator, shape: Sequence[int]) -> Params:
        return {name: step.draw(generator, shape) for name, step in self.steps.items()}

    def apply(self, params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        for _, step, drawn in self._taken(params):
            frames = step.apply(drawn, frames)
        return iter(frames)

    def stages(self, params: Params, frames: Iterable[Tensor]) -> Iterator[tuple[str, list[Tensor]]]:
        """What each step that takes place leaves, by name."""
        for name, step, drawn in self._taken(params):
            frames = list(step.apply(drawn, frames))
            yield name, frames

    def _taken(self, params: Params) -> Iterator[tuple[str, Step, Params]]:
        """The single steps that take place, in order."""
        for name, drawn in params.items():
            step = self.steps[name]
            if isinstance(step, InTurn):
                yield from step._taken(drawn)
            elif drawn is not None:
                yield name, step, drawn


@dataclass(frozen=True)
class Shuffled(InTurn):
    """Steps in an order that is a clip's own."""

    def draw(self, generator: Generator, shape: Sequence[int]) -> Params:
        drawn, names = super().draw(generator, shape), list(self.steps)
        order = torch.randperm(len(names), generator=generator)
        return {names[i]: drawn[names[i]] for i in order.tolist()}


@dataclass(frozen=True)
class Sometimes:
    """A step that takes place with a probability."""

    probability: float
    step: Step

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError(f"a probability is from 0 to 1, got {self.probability}")

    def draw(self, generator: Generator, shape: Sequence[int]) -> Params | None:
        chosen = choose(generator, {"yes": self.probability, "no": 1 - self.probability})
        return self.step.draw(generator, shape) if chosen == "yes" else None

    def apply(self, params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        return self.step.apply(params, frames)

"""Steps of a degradation and their composition.

Axes: frames are ``c h w``; between a resize and a codec the frames of a clip may differ in size.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor

from dcvsr.degradation.seeds import choose
from dcvsr.degradation.walk import Params


class Step(Protocol):
    """Random operation on a clip: random numbers are drawn first, and applying it is deterministic."""

    def draw(self, generator: Generator, shape: Sequence[int]) -> Params | None:
        """Draw the parameters of a clip of HR shape ``f c h w``; None leaves the step out."""
        ...

    def apply(self, params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the degraded frames one by one."""
        ...


@dataclass(frozen=True)
class InTurn:
    """Steps in the order of their names in the parameters; a step without parameters is skipped."""

    steps: Mapping[str, Step]

    def draw(self, generator: Generator, shape: Sequence[int]) -> Params:
        """Draw the parameters of a clip."""
        return {name: step.draw(generator, shape) for name, step in self.steps.items()}

    def apply(self, params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the degraded frames one by one."""
        for _, step, drawn in self._applied(params):
            frames = step.apply(drawn, frames)
        return iter(frames)

    def stages(self, params: Params, frames: Iterable[Tensor]) -> Iterator[tuple[str, list[Tensor]]]:
        """Yield the name and the output frames of each step that is applied."""
        for name, step, drawn in self._applied(params):
            frames = list(step.apply(drawn, frames))
            yield name, frames

    def _applied(self, params: Params) -> Iterator[tuple[str, Step, Params]]:
        """Yield the elementary steps that are applied, in order."""
        for name, drawn in params.items():
            step = self.steps[name]
            if isinstance(step, InTurn):
                yield from step._applied(drawn)
            elif drawn is not None:
                yield name, step, drawn


@dataclass(frozen=True)
class Shuffled(InTurn):
    """Steps in random order, drawn for each clip."""

    def draw(self, generator: Generator, shape: Sequence[int]) -> Params:
        """Draw the parameters of a clip."""
        drawn, names = super().draw(generator, shape), list(self.steps)
        order = torch.randperm(len(names), generator=generator)
        return {names[i]: drawn[names[i]] for i in order.tolist()}


@dataclass(frozen=True)
class Sometimes:
    """Step that is applied with a given probability."""

    probability: float
    step: Step

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError(f"a probability must be in [0, 1], got {self.probability}")

    def draw(self, generator: Generator, shape: Sequence[int]) -> Params | None:
        """Draw the parameters of a clip."""
        chosen = choose(generator, {"yes": self.probability, "no": 1 - self.probability})
        return self.step.draw(generator, shape) if chosen == "yes" else None

    def apply(self, params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the degraded frames one by one."""
        return self.step.apply(params, frames)

"""What the branches of a guidance other than the conditional one see of the propagation (spec A9)."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from dcvsr.attention.exchange import Evaluate, Keys, Propagate, alone, merged
from dcvsr.attention.observer import Observer, Place
from dcvsr.attention.propagation import Round
from dcvsr.attention.selection import Order


def own(round: Round) -> Round:
    """Each branch exchanges keys of its own; suppressed ones never reach the conditional branch."""
    return round


@dataclass
class _OneRound:
    """A round whose windows are another's."""

    round: Round

    @property
    def scheme(self) -> str:
        return self.round.scheme

    def orders(self, windows: int) -> Iterator[Order]:
        return self.round.orders(windows)


class ConditionalOnly(_OneRound):
    """Only the conditional branch exchanges."""

    def __call__(self, evaluate: Evaluate, place: Place, observer: Observer) -> Tensor:
        return self.round(evaluate, place, observer) if place.branch == 0 else evaluate(alone)


@dataclass
class SharedKeys(_OneRound):
    """All branches see the conditional one's keys.

    ``seen``: (tiles, layer) -> what that one received; written here alone.
    """

    seen: dict[tuple[tuple[int, ...], str], Keys] = field(default_factory=dict)

    def __call__(self, evaluate: Evaluate, place: Place, observer: Observer) -> Tensor:
        def recorded(propagate: Propagate) -> Tensor:
            def record(layer: str, k: Tensor, v: Tensor) -> Keys:
                keys = propagate(layer, k, v)
                self.seen[place.tiles, layer] = tuple(x[..., k.shape[-2] :, :] for x in keys)  # type: ignore
                return keys

            return evaluate(record)

        if place.branch == 0:
            return self.round(recorded, place, observer)
        return evaluate(lambda layer, k, v: merged((k, v), self.seen[place.tiles, layer]))


Branches = Literal["own", "conditional", "shared"]
BRANCHES: Mapping[Branches, Callable[[Round], Round]] = {
    "own": own,
    "conditional": ConditionalOnly,
    "shared": SharedKeys,
}

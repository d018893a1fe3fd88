"""Propagation in the guidance branches other than the conditional one (spec A9)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from dcvsr.attention.exchange import Evaluate, Keys, Propagate, alone, merged
from dcvsr.attention.observer import Observer, Place
from dcvsr.attention.propagation import Round, Size
from dcvsr.attention.selection import Order


def own(round: Round) -> Round:
    """Let each branch exchange its own keys; suppressed keys never reach the conditional branch."""
    return round


@dataclass
class _OneRound:
    """Base for rounds that delegate their window order to another round."""

    round: Round

    @property
    def scheme(self) -> str:
        """Scheme of the wrapped round."""
        return self.round.scheme

    def orders(self, windows: int) -> Sequence[Order]:
        """Return the window orders of the wrapped round."""
        return self.round.orders(windows)

    def merged_positions(self, branch: int, tile: Size, tiles: Sequence[Size], earlier: Sequence[int]) -> int:
        """Return those of the wrapped round."""
        return self.round.merged_positions(branch, tile, tiles, earlier)

    def carried(self) -> dict[str, Tensor]:
        """Return what the wrapped round carries."""
        return self.round.carried()

    def restore(self, carried: Mapping[str, Tensor]) -> None:
        """Restore the wrapped round."""
        self.round.restore(carried)

    def evaluations(self, branch: int, tiles: int) -> int:
        """Return the wrapped round's in branch 0, else 1."""
        return self.round.evaluations(branch, tiles) if branch == 0 else 1


class ConditionalOnly(_OneRound):
    """Round in which only the conditional branch exchanges keys."""

    def __call__(self, evaluate: Evaluate, place: Place, observer: Observer) -> Tensor:
        """Evaluate with propagation in branch 0 and without it elsewhere."""
        return self.round(evaluate, place, observer) if place.branch == 0 else evaluate(alone)

    def merged_positions(self, branch: int, tile: Size, tiles: Sequence[Size], earlier: Sequence[int]) -> int:
        """Return the wrapped round's in branch 0, else 0."""
        return super().merged_positions(branch, tile, tiles, earlier) if branch == 0 else 0


@dataclass
class SharedKeys(_OneRound):
    """Round in which all branches receive the conditional branch's keys.

    ``seen`` maps (tiles, layer) to the keys that the conditional branch received; only this class writes it.
    """

    seen: dict[tuple[tuple[int, ...], str], Keys] = field(default_factory=dict)

    def __call__(self, evaluate: Evaluate, place: Place, observer: Observer) -> Tensor:
        """Record the keys that branch 0 receives, and give the same keys to the other branches."""

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

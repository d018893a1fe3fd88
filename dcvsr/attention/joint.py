"""SAP and TAP in the same evaluation, for samplers of one or two steps; the paper alternates them by step."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dcvsr.attention.exchange import Evaluate, Keys, Propagate
from dcvsr.attention.observer import Observer, Place
from dcvsr.attention.propagation import Size, SpatialPropagation, TemporalRound
from dcvsr.attention.selection import Order


class JointRound:
    """Round in which a tile attends to SAP's subset of its window and to TAP's frames of the window before.

    Both take a tile's keys and values before merging. With one tile in a window this is TAP, with one window
    SAP.

    Args:
        sap: in lockstep.
        tap: with chained keys; it decides the order of the windows.
    """

    scheme = "joint"

    def __init__(self, sap: SpatialPropagation, tap: TemporalRound) -> None:
        self.sap, self.tap = sap, tap

    def orders(self, windows: int) -> Sequence[Order]:
        """Return TAP's orders."""
        return self.tap.orders(windows)

    def merged_positions(self, branch: int, tile: Size, tiles: Sequence[Size], earlier: Sequence[int]) -> int:
        """Return the positions of both."""
        given = branch, tile, tiles, earlier
        return self.sap.merged_positions(*given) + self.tap.merged_positions(*given)

    def carried(self) -> dict[str, Tensor]:
        """Return what TAP carries."""
        return self.tap.carried()

    def restore(self, carried: Mapping[str, Tensor]) -> None:
        """Restore TAP."""
        self.tap.restore(carried)

    def evaluations(self, branch: int, tiles: int) -> int:
        """Return 1."""
        return 1

    def __call__(self, evaluate: Evaluate, place: Place, observer: Observer) -> Tensor:
        """Evaluate the tiles with both."""

        def with_subset(spatial: Propagate) -> Tensor:
            return self.tap(lambda temporal: evaluate(_both(spatial, temporal)), place, observer)

        return self.sap(with_subset, place, observer)


def _both(spatial: Propagate, temporal: Propagate) -> Propagate:
    """Merge a tile's own keys and values, SAP's, then TAP's."""

    def propagate(layer: str, k: Tensor, v: Tensor) -> Keys:
        merged = zip(spatial(layer, k, v), temporal(layer, k, v), strict=True)
        K, V = (torch.cat([a, b[..., k.shape[-2] :, :]], dim=-2) for a, b in merged)
        return K, V

    return propagate

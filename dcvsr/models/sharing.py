"""Division of the work on one clip among ranks."""

import math
from collections.abc import Iterable, Sequence

from dcvsr.attention.propagation import Round
from dcvsr.models.tiled import Group, Visit
from dcvsr.tiling.grid import Tile

INDEPENDENT = "none", "sap"
"""Schemes in which windows exchange nothing, so that each rank may evaluate a whole one."""


def together(visits: Sequence[Visit], start: int, round: Round, ranks: int) -> Sequence[Visit]:
    """Return the visits from ``start`` on that run at the same time: one for each rank, or one for all.

    Whole windows need no exchange of keys between ranks. Windows that are left over, and those that receive
    keys of the one before, are shared tile by tile.
    """
    alone = round.scheme in INDEPENDENT and len(visits) - start >= ranks
    return visits[start : start + (ranks if alone else 1)]


def positions(tiles: Iterable[Tile]) -> int:
    """Return the latent positions of tiles, all frames counted: what their evaluation takes, roughly."""
    return sum(math.prod(tile.shape) for tile in tiles)


def owners(groups: Sequence[Group], ranks: int) -> list[int]:
    """Return the rank of each group of tiles: the largest go first, each to the rank that has least.

    It depends on the rows and columns of the tiles and not on the window, so that the frames that TAP hands
    on stay with the rank of their tiles.
    """
    loads, found = [0] * ranks, [0] * len(groups)
    sizes = [sum(math.prod(tile.shape[1:]) for tile in group.values()) for group in groups]
    for number in sorted(range(len(groups)), key=lambda number: (-sizes[number], number)):
        found[number] = loads.index(min(loads))
        loads[found[number]] += sizes[number]
    return found

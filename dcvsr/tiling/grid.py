"""Positions of tiles on the canvas.

Axes: f frames, y rows, x columns of the latent canvas. Window: temporal tile; m: spatial tile of a window.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import gcd
from typing import Literal

from dcvsr.runtime.choices import require_choice


def starts(length: int, size: int, overlap: float) -> list[int]:
    """Return the starts of tiles of ``size`` that cover ``length``; the last tile ends at the border.

    Consecutive tiles share at least the fraction ``overlap`` of their size (spec A17).
    """
    if length <= size:
        return [0]
    return [*range(0, length - size, stride(size, overlap)), length - size]


def stride(size: int, overlap: float) -> int:
    """Return the distance from one tile to the next."""
    return max(1, size - round(overlap * size))


def overlapping(length: int, size: int, overlap: float, step: int) -> list[slice]:
    """Return equal overlapping tiles, the same at every step (the paper's)."""
    return [slice(start, min(start + size, length)) for start in starts(length, size, overlap)]


def shifted(length: int, size: int, overlap: float, step: int) -> list[slice]:
    """Return tiles without overlap whose cuts move at each step, so that no seam stays in place (ours).

    The smallest number of tiles whose cuts can move by at least a quarter tile: full tiles inside, and two at
    the borders that share the rest, each at least a quarter. Cuts move by eighths of a tile, which keeps them
    on the U-Net's strides, and repeat only after all other positions.

    Raises:
        ValueError: if ``size`` is below 3, which leaves no room to move.
    """
    count = -(-length // size)
    if count == 1:
        return [slice(0, length)]
    if size < 3:
        raise ValueError(f"tiles of {size} cannot be shifted; use 3 or more, or tile.schedule=overlap")
    count += 4 * (count * size - length) < size
    spare = count * size - length
    unit, least = max(1, size // 8), round(size / 4)
    shortened = range(max(0, spare + least - size), min(spare, size - least) + 1, unit)
    by = shortened[step * _turn(len(shortened)) % len(shortened)]
    cuts = [0, *(i * size - by for i in range(1, count)), length]
    return [slice(start, stop) for start, stop in pairwise(cuts)]


def _turn(places: int) -> int:
    """Return a step near the golden section whose multiples visit every position, evenly spread."""
    return next(k for k in range(round(0.618 * places), 0, -1) if gcd(k, places) == 1)


Schedule = Literal["overlap", "shifted"]
SCHEDULES: Mapping[Schedule, Callable[[int, int, float, int], list[slice]]] = {
    "overlap": overlapping,
    "shifted": shifted,
}
"""Name -> ``(length, size, overlap, step) ->`` the tiles of one axis at one sampling step."""


def as_is(length: int, size: int, overlap: float) -> int:
    """Return the length of at least one tile; the last tile is shifted to end at the border (spec A17)."""
    return max(length, size)


def to_whole_strides(length: int, size: int, overlap: float) -> int:
    """Return the length at which the last tile ends at the border without a shift."""
    step = stride(size, overlap)
    return size + -(-max(0, length - size) // step) * step


Border = Literal["shift", "pad"]
BORDERS: Mapping[Border, Callable[[int, int, float], int]] = {"shift": as_is, "pad": to_whole_strides}
"""Name -> ``(length, size, overlap) ->`` the length that an axis is padded to."""


@dataclass(frozen=True)
class Tile:
    """Box of the canvas."""

    frames: slice
    rows: slice
    columns: slice

    @property
    def index(self) -> tuple[slice, slice, slice, slice]:
        """Index into a canvas ``f c h w``."""
        return self.frames, slice(None), self.rows, self.columns

    @property
    def box(self) -> tuple[int, ...]:
        """Ends of frames, rows and columns; hashable, which slices are not on Python 3.11."""
        return tuple(
            end for axis in (self.frames, self.rows, self.columns) for end in (axis.start, axis.stop)
        )

    def scaled(self, factor: int) -> "Tile":
        """Return the box in units ``factor`` times as small; frames are not scaled."""
        rows, columns = (slice(factor * s.start, factor * s.stop) for s in (self.rows, self.columns))
        return Tile(self.frames, rows, columns)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, rows and columns."""
        f, y, x = (axis.stop - axis.start for axis in (self.frames, self.rows, self.columns))
        return f, y, x


@dataclass(frozen=True)
class TileGrid:
    """Grid of tiles of at most ``frames`` x ``size`` x ``size`` latent pixels.

    The paper uses 14 x 64 x 64 with half of each axis shared (section 3).

    Attributes:
        overlap: fraction of each axis that overlapping tiles share.
        schedule: ``overlap`` or ``shifted``, where the tiles of an axis lie at a sampling step.
        border: ``shift`` or ``pad``, how the last tile of an axis ends at the border.

    Raises:
        ValueError: if a size is below 1, or what ``schedule`` refuses, or ``overlap`` is not in [0, 1), or a
            name is not a choice.
    """

    size: int
    frames: int
    overlap: float
    schedule: Schedule = "overlap"
    border: Border = "shift"

    def __post_init__(self) -> None:
        require_choice("schedule", self.schedule, SCHEDULES)
        require_choice("border", self.border, BORDERS)
        if self.size < 1 or self.frames < 1:
            raise ValueError(f"tiles need a size of at least 1, got size={self.size}, frames={self.frames}")
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap must be a fraction in [0, 1), got {self.overlap}")
        for size in (self.size, self.frames):
            SCHEDULES[self.schedule](2 * size, size, self.overlap, 0)

    def canvas(self, frames: int, rows: int, columns: int) -> tuple[int, int, int]:
        """Return the padded frames, rows and columns of a canvas."""
        f, y, x = (
            BORDERS[self.border](length, size, self.overlap)
            for length, size in ((frames, self.frames), (rows, self.size), (columns, self.size))
        )
        return f, y, x

    def windows(self, frames: int, rows: int, columns: int, step: int = 0) -> list[list[Tile]]:
        """Return the temporal windows of a sampler step in order, each with its spatial tiles row by row.

        An axis shorter than a tile gets one tile of its length.
        """
        times, ys, xs = (
            SCHEDULES[self.schedule](length, size, self.overlap, step)
            for length, size in ((frames, self.frames), (rows, self.size), (columns, self.size))
        )
        return [[Tile(f, y, x) for y in ys for x in xs] for f in times]

"""Where the tiles lie.

Axes: f frames, y rows, x columns of the latent canvas. Window: temporal tile; m: spatial tile of a window.
"""

from dataclasses import dataclass


def starts(length: int, size: int, overlap: float) -> list[int]:
    """Starts of tiles of ``size`` that cover ``length``; the last one is shifted back to end at the border.

    Consecutive tiles share at least the fraction ``overlap`` of their size (spec A17).
    """
    if length <= size:
        return [0]
    stride = max(1, size - round(overlap * size))
    return [*range(0, length - size, stride), length - size]


@dataclass(frozen=True)
class Tile:
    """A box of the canvas."""

    frames: slice
    rows: slice
    columns: slice

    @property
    def index(self) -> tuple[slice, slice, slice, slice]:
        """Index into a canvas ``f c h w``."""
        return self.frames, slice(None), self.rows, self.columns


@dataclass(frozen=True)
class TileGrid:
    """Tiles of ``frames`` x ``size`` x ``size`` latents, each axis overlapping by the fraction ``overlap``.

    The paper: 14 x 64 x 64 with half of each axis shared (section 3).

    Raises:
        ValueError: if a size is below 1, or ``overlap`` is not in [0, 1).
    """

    size: int
    frames: int
    overlap: float

    def __post_init__(self) -> None:
        if self.size < 1 or self.frames < 1:
            raise ValueError(f"tiles need a size of at least 1, got size={self.size}, frames={self.frames}")
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap must be a fraction in [0, 1), got {self.overlap}")

    def windows(self, frames: int, rows: int, columns: int) -> list[list[Tile]]:
        """The temporal windows in order, each with its spatial tiles row by row.

        A canvas smaller than a tile on some axis gets one tile there, as long as the axis.
        """
        return [
            [
                Tile(
                    slice(f, min(f + self.frames, frames)),
                    slice(y, min(y + self.size, rows)),
                    slice(x, min(x + self.size, columns)),
                )
                for y in starts(rows, self.size, self.overlap)
                for x in starts(columns, self.size, self.overlap)
            ]
            for f in starts(frames, self.frames, self.overlap)
        ]

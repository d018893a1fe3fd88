"""Clips seen through others: at half their size, or their middle alone.

Axes: f frames, c colours, h w pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import avg_pool2d

from dcvsr.data.clips import ALL, Clip
from dcvsr.imaging import to_bytes, to_unit
from dcvsr.runtime.errors import UserError


@dataclass(frozen=True, eq=False)
class ClipView:
    """What all share: length and shots of ``clip`` are kept."""

    clip: Clip

    @property
    def name(self) -> str:
        return f"{self.clip.name}-{type(self).__name__.lower()}"

    @property
    def shots(self) -> Sequence[range]:
        return self.clip.shots

    def __len__(self) -> int:
        return len(self.clip)


@dataclass(frozen=True, eq=False)
class Halved(ClipView):
    """Each pixel the mean of four, rounded: a soft clip becomes a sharp one. An odd last line is left out."""

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.clip.size
        return height // 2, width // 2

    def read(self, start: int, count: int, rows: slice = ALL, columns: slice = ALL) -> Tensor:
        parts = (range(side)[part] for side, part in zip(self.size, (rows, columns), strict=True))
        doubled = (slice(2 * part.start, 2 * part.stop) for part in parts)
        return to_bytes(avg_pool2d(to_unit(self.clip.read(start, count, *doubled)), 2))


@dataclass(frozen=True, eq=False)
class Centre(ClipView):
    """The square of ``side`` pixels in the middle.

    Raises:
        UserError: if the clip is smaller.
    """

    side: int

    def __post_init__(self) -> None:
        if not 0 < self.side <= min(self.clip.size):
            height, width = self.clip.size
            raise UserError(f"{self.clip.name} is {width}x{height}, no square of {self.side} fits")

    @property
    def size(self) -> tuple[int, int]:
        return self.side, self.side

    def read(self, start: int, count: int, rows: slice = ALL, columns: slice = ALL) -> Tensor:
        starts = ((side - self.side) // 2 for side in self.clip.size)
        parts = (range(at, at + self.side)[part] for at, part in zip(starts, (rows, columns), strict=True))
        return self.clip.read(start, count, *(slice(part.start, part.stop) for part in parts))

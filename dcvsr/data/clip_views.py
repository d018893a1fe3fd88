"""Views of clips: at half size, or cropped to the centre.

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
    """Base of the views; keeps the length and the shots of ``clip``."""

    clip: Clip

    rate = None  # not the clip's: results of views are kept at evaluate's default rate

    @property
    def name(self) -> str:
        """Name of the clip, a hyphen, and the lower-case class name."""
        return f"{self.clip.name}-{type(self).__name__.lower()}"

    @property
    def shots(self) -> Sequence[range]:
        """Frames of each shot, in order."""
        return self.clip.shots

    def __len__(self) -> int:
        return len(self.clip)


@dataclass(frozen=True, eq=False)
class Halved(ClipView):
    """A clip at half size, each pixel the rounded mean of 2x2; soft clips become sharp.

    An odd last row or column is dropped.
    """

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.clip.size
        return height // 2, width // 2

    def read(self, start: int, count: int, rows: slice = ALL, columns: slice = ALL) -> Tensor:
        """Return a range of frames, or a part of each: uint8 ``count c h w``."""
        parts = (range(side)[part] for side, part in zip(self.size, (rows, columns), strict=True))
        doubled = (slice(2 * part.start, 2 * part.stop) for part in parts)
        return to_bytes(avg_pool2d(to_unit(self.clip.read(start, count, *doubled)), 2))


@dataclass(frozen=True, eq=False)
class Centre(ClipView):
    """The square of ``side`` pixels at the centre of a clip.

    Raises:
        UserError: if the clip is smaller.
    """

    side: int

    def __post_init__(self) -> None:
        if not 0 < self.side <= min(self.clip.size):
            height, width = self.clip.size
            raise UserError(
                f"{self.clip.name} is {width}x{height}: side must be 1 to {min(height, width)}, "
                f"got {self.side}"
            )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.side, self.side

    def read(self, start: int, count: int, rows: slice = ALL, columns: slice = ALL) -> Tensor:
        """Return a range of frames, or a part of each: uint8 ``count c h w``."""
        starts = ((side - self.side) // 2 for side in self.clip.size)
        parts = (range(at, at + self.side)[part] for at, part in zip(starts, (rows, columns), strict=True))
        return self.clip.read(start, count, *(slice(part.start, part.stop) for part in parts))

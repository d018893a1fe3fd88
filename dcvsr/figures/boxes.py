"""Which parts of a clip a figure shows: the frames, and the boxes of a frame.

Axes: frames are ``c h w`` in [0, 1], at HR size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from dcvsr.imaging import FACTOR
from dcvsr.metrics.correspondence import Correspondence, detail, patches
from dcvsr.runtime.errors import UserError


@dataclass(frozen=True)
class Box:
    """Part of a frame, in HR pixels."""

    left: int
    top: int
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.left},{self.top},{self.width},{self.height}"

    def cut(self, frame: Tensor) -> Tensor:
        return frame[..., self.top : self.top + self.height, self.left : self.left + self.width]


Frames = Callable[[int], list[int]]
"""How many frames a clip has -> which of them, counted from 0."""

Boxes = Callable[[Tensor], list[Box]]
"""A frame -> which parts of it."""


@dataclass(frozen=True)
class Moments:
    """Frames by where they lie: 0 is the first, 1 the last.

    Args:
        shares: of the way to the last frame.
        run: frames from each of them on, as far as the clip goes.
    """

    shares: Sequence[float]
    run: int

    def __call__(self, frames: int) -> list[int]:
        last = max(frames - self.run, 0)
        starts = (round(share * last) for share in self.shares)
        return sorted({frame for start in starts for frame in range(start, min(start + self.run, frames))})


@dataclass(frozen=True)
class GivenFrames:
    """Frames by number, negative ones from the end."""

    numbers: Sequence[int]

    def __call__(self, frames: int) -> list[int]:
        """Raises UserError if a clip lacks one."""
        for number in self.numbers:
            if not -frames <= number < frames:
                raise UserError(f"there is no frame {number} of {frames}; give 0 to {frames - 1}")
        return [number % frames for number in self.numbers]


@dataclass(frozen=True)
class GivenBoxes:
    boxes: Sequence[Box]

    def __call__(self, frame: Tensor) -> list[Box]:
        """Raises UserError if one is not within the frame."""
        height, width = frame.shape[-2:]
        for box in self.boxes:
            right, bottom = box.left + box.width, box.top + box.height
            if (
                min(box.left, box.top) < 0
                or min(box.width, box.height) < 1
                or right > width
                or bottom > height
            ):
                raise UserError(f"the box {box} (left,top,width,height) is not within {width}x{height}")
        return list(self.boxes)


@dataclass(frozen=True)
class CentreBoxes:
    """The square in the middle.

    Args:
        share: side over the shorter side of the frame.
    """

    share: float

    def __call__(self, frame: Tensor) -> list[Box]:
        side = square(frame, self.share)
        top, left = ((length - side) // (2 * FACTOR) * FACTOR for length in frame.shape[-2:])
        return [Box(left, top, side, side)]


@dataclass(frozen=True)
class Richest:
    """The squares that hold most of what LR cannot hold, the richest first, of which no two overlap.

    Args:
        count: of them, or as many as find room.
        share: side of a square over the shorter side of the frame.
    """

    count: int
    share: float

    def __call__(self, frame: Tensor) -> list[Box]:
        side = square(frame, self.share)
        energy = F.avg_pool2d(detail(frame).square()[None], side, stride=FACTOR)[0, 0]
        boxes: list[Box] = []
        while len(boxes) < self.count and energy.max() >= 0:
            y, x = divmod(int(energy.argmax()), energy.shape[1])
            boxes.append(Box(FACTOR * x, FACTOR * y, side, side))
            reach = (side - 1) // FACTOR
            energy[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1] = -1
        return boxes


@dataclass(frozen=True)
class Alike:
    """Two squares, half a frame or more apart, around the places whose detail is most alike.

    The first has as much detail as the frame on average, or more.

    Args:
        patch: side of what is compared, in pixels; smaller in small frames.
        share: side of a square over the shorter side of the frame, at most a third: none overlap.
    """

    patch: int
    share: float

    def __call__(self, frame: Tensor) -> list[Box]:
        """Those of `Richest` where nothing is shown twice."""
        height, width = frame.shape[-2:]
        patch = min(self.patch, FACTOR * max(1, min(height, width) // (2 * FACTOR)))

        def apart(dy: Tensor, dx: Tensor) -> Tensor:
            return (dy.abs() >= height / 2) | (dx.abs() >= width / 2)

        fine = detail(frame)
        contrast = float(fine.square().mean().sqrt())
        corners = Correspondence(patch, similar=-1, contrast=contrast)(frame, frame, apart)
        if not len(corners[0]):
            return Richest(2, self.share)(frame)
        here, there = (patches(fine, at, patch).flatten(1) for at in corners)
        best = int(F.cosine_similarity(here, there).argmax())
        return [self._around(frame, at[best] + patch // 2) for at in corners]

    def _around(self, frame: Tensor, centre: Tensor) -> Box:
        side = square(frame, self.share)
        top, left = (
            min(max(0, int(at) - side // 2), length - side) // FACTOR * FACTOR
            for at, length in zip(centre, frame.shape[-2:], strict=True)
        )
        return Box(left, top, side, side)


def square(frame: Tensor, share: float) -> int:
    """Side of a square that is ``share`` of a frame's shorter side: whole LR pixels."""
    return FACTOR * max(1, int(share * min(frame.shape[-2:])) // FACTOR)

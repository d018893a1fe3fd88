"""Selection of the frames of a clip, and of the boxes of a frame, that a figure shows.

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
    """A rectangle of a frame, in HR pixels."""

    left: int
    top: int
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.left},{self.top},{self.width},{self.height}"

    def crop(self, frame: Tensor) -> Tensor:
        """Return the part of a frame, ``... h w``, inside the box."""
        return frame[..., self.top : self.top + self.height, self.left : self.left + self.width]


Frames = Callable[[int], list[int]]
"""Maps the number of frames of a clip to the selected frames, counted from 0."""

Boxes = Callable[[Tensor], list[Box]]
"""Maps a frame to boxes in it."""


@dataclass(frozen=True)
class Moments:
    """Runs of frames at relative positions of the clip: 0 is the first frame, 1 the last.

    Args:
        shares: relative positions of the runs.
        run: frames per run; a short clip has fewer.
    """

    shares: Sequence[float]
    run: int

    def __call__(self, frames: int) -> list[int]:
        """Return the selected frames in order."""
        last = max(frames - self.run, 0)
        starts = (round(share * last) for share in self.shares)
        return sorted({frame for start in starts for frame in range(start, min(start + self.run, frames))})


@dataclass(frozen=True)
class GivenFrames:
    """Frames by number; negative numbers count from the end."""

    numbers: Sequence[int]

    def __call__(self, frames: int) -> list[int]:
        """Return the frames, counted from 0; raise UserError if the clip has no such frame."""
        for number in self.numbers:
            if not -frames <= number < frames:
                raise UserError(f"frame {number} is not in a clip of {frames} frames; give 0 to {frames - 1}")
        return [number % frames for number in self.numbers]


@dataclass(frozen=True)
class GivenBoxes:
    """Boxes by position."""

    boxes: Sequence[Box]

    def __call__(self, frame: Tensor) -> list[Box]:
        """Return the boxes; raise UserError if one is not within the frame."""
        height, width = frame.shape[-2:]
        for box in self.boxes:
            right, bottom = box.left + box.width, box.top + box.height
            if (
                min(box.left, box.top) < 0
                or min(box.width, box.height) < 1
                or right > width
                or bottom > height
            ):
                raise UserError(
                    f"the box {box} (left,top,width,height) is not within {width}x{height}; move it"
                )
        return list(self.boxes)


@dataclass(frozen=True)
class CentreBoxes:
    """The square at the centre of a frame.

    Args:
        share: side over the shorter side of the frame.
    """

    share: float

    def __call__(self, frame: Tensor) -> list[Box]:
        """Return the box, aligned to LR pixels."""
        side = square(frame, self.share)
        top, left = ((length - side) // (2 * FACTOR) * FACTOR for length in frame.shape[-2:])
        return [Box(left, top, side, side)]


@dataclass(frozen=True)
class Richest:
    """The squares with the most detail that LR cannot represent, in descending order, without overlap.

    Args:
        count: number of squares; fewer if there is no room.
        share: side of a square over the shorter side of the frame.
    """

    count: int
    share: float

    def __call__(self, frame: Tensor) -> list[Box]:
        """Return the boxes, aligned to LR pixels."""
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
class MostSimilar:
    """Two squares, at least half a frame apart, around the patches whose detail is most similar.

    The first patch has at least as much detail as the frame on average.

    Args:
        patch: side of the compared patches in pixels; smaller in small frames.
        share: side of a square over the shorter side of the frame; up to a third, squares do not overlap.
    """

    patch: int
    share: float

    def __call__(self, frame: Tensor) -> list[Box]:
        """Return the two boxes; those of `Richest` if no two patches can be compared."""
        height, width = frame.shape[-2:]
        patch = min(self.patch, FACTOR * max(1, min(height, width) // (2 * FACTOR)))

        def is_far(dy: Tensor, dx: Tensor) -> Tensor:
            return (dy.abs() >= height / 2) | (dx.abs() >= width / 2)

        details = detail(frame)
        contrast = float(details.square().mean().sqrt())
        corners = Correspondence(patch, similar=-1, contrast=contrast)(frame, frame, is_far)
        if not len(corners[0]):
            return Richest(2, self.share)(frame)
        here, there = (patches(details, at, patch).flatten(1) for at in corners)
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
    """Return the side of a square that is ``share`` of a frame's shorter side, in whole LR pixels."""
    return FACTOR * max(1, int(share * min(frame.shape[-2:])) // FACTOR)

"""Parts of a video: a range of frames and a region of the picture.

Axes: c channels (RGB), h height, w width.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from torch import Tensor

from dcvsr.runtime.errors import UserError
from dcvsr.video.memory import Metadata


@dataclass(frozen=True)
class Part:
    """A part of a video; ``Part()`` is the whole.

    Args:
        start: first frame, counted from 0.
        frames: number of frames, as far as the video has them; None for all.
        seconds: length in place of ``frames``, by the average frame rate.
        region: x, y, width and height of a rectangle in pixels of the upright picture; None for all.
    """

    start: int = 0
    frames: int | None = None
    seconds: Fraction | None = None
    region: tuple[int, int, int, int] | None = None

    @classmethod
    def parsed(cls, start: Any = 0, frames: Any = None, seconds: Any = None, region: Any = None) -> "Part":
        """Return the part that the keys of a command name; ``region`` is a string ``x,y,w,h`` or a list.

        Raises:
            UserError: if a value is not of its kind or out of range, or both ``frames`` and ``seconds`` are
                given.
        """
        if not _is_whole(start, 0):
            raise UserError(f"start={start} is not the number of a frame; pass 0 or more")
        if frames is not None and not _is_whole(frames, 1):
            raise UserError(f"frames={frames} is not a number of frames; pass 1 or more, or leave it out")
        if frames is not None and seconds is not None:
            raise UserError(f"frames={frames} and seconds={seconds} exclude each other; leave one out")
        return cls(start, frames, _length(seconds), _rectangle(region))

    def stop(self, rate: Fraction) -> int | None:
        """Return the frame after the last one, at ``rate`` frames per second; None for the video's end."""
        frames = self.frames
        if self.seconds is not None:
            frames = max(1, round(self.seconds * rate))
        return None if frames is None else self.start + frames

    def size(self, path: Path, height: int, width: int) -> tuple[int, int]:
        """Return the height and width of the part of a picture.

        Raises:
            UserError: if the region is empty or not inside the picture; the message names ``path``.
        """
        if self.region is None:
            return height, width
        x, y, w, h = self.region
        given = f"region={x},{y},{w},{h}"
        if min(w, h) < 1:
            raise UserError(f"{given} is empty; pass x,y,w,h with a width and a height of 1 or more")
        if min(x, y) < 0 or x + w > width or y + h > height:
            raise UserError(f"{given} is not inside the picture of {path}, which is {width}x{height}")
        return h, w

    def cropped(self, frame: Tensor) -> Tensor:
        """Return the region of a frame ``c h w``, as a copy that does not keep the frame in memory."""
        if self.region is None:
            return frame
        x, y, w, h = self.region
        return frame[:, y : y + h, x : x + w].clone()

    def metadata(self, whole: Metadata, stop: int, is_end: bool) -> Metadata:
        """Return the metadata of the frames before ``stop``, the first of which is shown at 0.

        Args:
            whole: metadata of the frames up to ``stop``, and of that frame if the video has it.
            stop: the frame after the last one.
            is_end: True if the video ends there.
        """
        if self.start == 0 and self.frames is None and self.seconds is None:
            return whole

        def shown(frame: int) -> Fraction:
            return whole.pts[frame] * whole.time_base if whole.pts and whole.time_base else frame / whole.rate

        kept = slice(self.start, stop)
        return replace(
            whole,
            pts=tuple(time - whole.pts[self.start] for time in whole.pts[kept]),
            names=whole.names[kept],
            span=(shown(self.start), None if is_end else shown(stop)),
        )


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _length(seconds: Any) -> Fraction | None:
    if seconds is None:
        return None
    try:
        length = Fraction(str(seconds))
    except (ValueError, ZeroDivisionError):
        length = Fraction(0)
    if length <= 0:
        raise UserError(f"seconds={seconds} is not a length of time; pass a number above 0, or leave it out")
    return length


def _rectangle(region: Any) -> tuple[int, int, int, int] | None:
    if region is None:
        return None
    listed = str(region).strip("[()]").replace(" ", "")
    try:
        x, y, w, h = map(int, listed.split(","))
    except ValueError as error:
        raise UserError(
            f"region={listed} is not x,y,w,h in pixels; pass four whole numbers, such as region=0,0,64,64"
        ) from error
    return x, y, w, h

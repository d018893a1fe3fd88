"""Clips side by side: LR, every result, and the ground truth.

Axes: frames are ``c h w`` in [0, 1], at HR size.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

from einops import repeat
from torch import Tensor

from dcvsr.data.clips import Clip
from dcvsr.imaging import FACTOR, to_unit, upsample
from dcvsr.runtime.errors import UserError

LR, HR = "LR", "HR"
RATE = Fraction(25)

Clips = Mapping[str, Clip]
NONE: Clips = {}
Read = Callable[[int], Tensor]
"""Maps a frame number to the frame."""


@dataclass(frozen=True, eq=False)
class Exhibit:
    """One clip in every column of a figure.

    Args:
        name: name of the clip.
        columns: label -> reader of its frames.
        guide: frames from which boxes are chosen: HR if given, else upsampled LR, else the last column.
        frames: number of frames.
        rate: frames per second.
    """

    name: str
    columns: Mapping[str, Read]
    guide: Read
    frames: int
    rate: Fraction


def exhibits(results: Mapping[str, Clips], lr: Clips = NONE, hr: Clips = NONE) -> list[Exhibit]:
    """Return an exhibit for every clip of LR, or of the first result if there is no LR.

    Args:
        results: label -> clips by name.
        lr: LR clips by name; empty if results have no LR.
        hr: HR clips by name; empty if there is no ground truth.

    Raises:
        UserError: if a result lacks a clip, or has another number of frames or another size of it.
    """
    names = list(lr or next(iter(results.values())))
    for label, clips in results.items():
        if missing := [name for name in names if name not in clips]:
            raise UserError(f"{label} has no clip {', '.join(missing)}; it has {', '.join(clips) or 'none'}")
    return [
        _exhibit(name, {label: clips[name] for label, clips in results.items()}, lr.get(name), hr.get(name))
        for name in names
    ]


def _exhibit(name: str, results: Clips, lr: Clip | None, hr: Clip | None) -> Exhibit:
    shown = {**results, HR: hr} if hr is not None else results
    first = next(iter(shown.values()))
    frames, (height, width) = len(first), first.size
    if lr is not None:
        frames, (height, width) = len(lr), (FACTOR * side for side in lr.size)
    _require_same_shape(name, shown, (frames, height, width))
    columns: dict[str, Read] = {label: partial(_frame, clip) for label, clip in shown.items()}
    guide = list(columns.values())[-1]
    if lr is not None:
        columns = {LR: partial(_pixels, lr), **columns}
        guide = guide if hr is not None else partial(_upsampled, lr)
    rates = (clip.rate for clip in (hr, lr) if clip is not None and clip.rate is not None)
    return Exhibit(name, columns, guide, frames, next(rates, RATE))


def _require_same_shape(name: str, shown: Clips, expected: tuple[int, int, int]) -> None:
    for label, clip in shown.items():
        found = (len(clip), *clip.size)
        if found != expected:
            shapes = (f"{frames} frames of {width}x{height}" for frames, height, width in (found, expected))
            raise UserError(
                f"{label} has {name} in {next(shapes)}, the others in {next(shapes)}; leave it out"
            )


def _frame(clip: Clip, number: int) -> Tensor:
    return to_unit(clip.read(number, 1)[0])


def _pixels(lr: Clip, number: int) -> Tensor:
    return repeat(_frame(lr, number), "c h w -> c (h y) (w x)", y=FACTOR, x=FACTOR)


def _upsampled(lr: Clip, number: int) -> Tensor:
    return upsample(_frame(lr, number)[None], FACTOR)[0]

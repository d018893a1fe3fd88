"""Clips beside each other: LR, what every result shows of them, the truth.

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
"""The number of a frame -> the frame."""


@dataclass(frozen=True, eq=False)
class Exhibit:
    """A clip, as every column shows it.

    Args:
        columns: by label.
        guide: what boxes are chosen by: the truth; LR magnified where nobody knows it; else the last column.
        frames: of the clip.
        rate: of its frames per second.
    """

    name: str
    columns: Mapping[str, Read]
    guide: Read
    frames: int
    rate: Fraction


def exhibits(results: Mapping[str, Clips], lr: Clips = NONE, hr: Clips = NONE) -> list[Exhibit]:
    """Every clip that all results show, with LR and truth where there are any.

    Args:
        results: label -> clips by name.
        lr: by name; empty where results come from no LR.
        hr: by name; empty where nobody knows it.

    Raises:
        UserError: if a result lacks a clip, or shows it in other frames or another size.
    """
    names = list(lr or next(iter(results.values())))
    for label, clips in results.items():
        if missing := [name for name in names if name not in clips]:
            raise UserError(f"{label} has no {', '.join(missing)}; it has {', '.join(clips) or 'none'}")
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
    _require_alike(name, shown, (frames, height, width))
    columns: dict[str, Read] = {label: partial(_frame, clip) for label, clip in shown.items()}
    guide = list(columns.values())[-1]
    if lr is not None:
        columns = {LR: partial(_pixels, lr), **columns}
        guide = guide if hr is not None else partial(_smooth, lr)
    rates = (clip.rate for clip in (hr, lr) if clip is not None and clip.rate is not None)
    return Exhibit(name, columns, guide, frames, next(rates, RATE))


def _require_alike(name: str, shown: Clips, expected: tuple[int, int, int]) -> None:
    for label, clip in shown.items():
        found = (len(clip), *clip.size)
        if found != expected:
            told = (f"{frames} frames of {width}x{height}" for frames, height, width in (found, expected))
            raise UserError(f"{label} shows {name} in {next(told)}, not in the {next(told)} of the others")


def _frame(clip: Clip, number: int) -> Tensor:
    return to_unit(clip.read(number, 1)[0])


def _pixels(lr: Clip, number: int) -> Tensor:
    return repeat(_frame(lr, number), "c h w -> c (h y) (w x)", y=FACTOR, x=FACTOR)


def _smooth(lr: Clip, number: int) -> Tensor:
    return upsample(_frame(lr, number)[None], FACTOR)[0]

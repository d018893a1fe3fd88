"""LR that was made beforehand, beside the HR it was made from."""

from collections.abc import Mapping
from dataclasses import dataclass

from dcvsr.data.clips import Clip
from dcvsr.degradation.pipeline import Degradation, Given
from dcvsr.imaging import FACTOR
from dcvsr.runtime.errors import UserError


@dataclass(frozen=True, eq=False)
class Pair:
    """Two clips of one scene; ``hr`` is None for video without a reference.

    Raises:
        UserError: if they differ in frames, or HR is not four times LR's size.
    """

    hr: Clip | None
    lr: Clip

    def __post_init__(self) -> None:
        if self.hr is None:
            return
        frames, height, width = len(self.lr), *(FACTOR * side for side in self.lr.size)
        if (len(self.hr), *self.hr.size) != (frames, height, width):
            raise UserError(
                f"LR clip {self.lr.name} is {_told(self.lr)}, its HR {_told(self.hr)}, where "
                f"{frames} frames of {width}x{height} are expected: give the HR that it was made from"
            )


def pairs(hr: Mapping[str, Clip], lr: Mapping[str, Clip]) -> dict[str, Pair]:
    """Each LR clip with the HR clip of its name; other HR clips may be there too.

    Raises:
        UserError: if HR is missing or is not what LR was made from.
    """
    for name in lr:
        if name not in hr:
            raise UserError(f"LR clip {name} has no HR clip of its name; there are {', '.join(hr) or 'none'}")
    return {name: Pair(hr[name], clip) for name, clip in lr.items()}


def unpaired(lr: Mapping[str, Clip]) -> dict[str, Pair]:
    """LR video without ground truth."""
    return {name: Pair(None, clip) for name, clip in lr.items()}


def require_one_lr(name: str, clip: Clip | Pair, degradation: Degradation) -> None:
    """Raises UserError unless LR of a clip comes either with it or from the degradation."""
    has_lr, is_given = isinstance(clip, Pair), isinstance(degradation, Given)
    if has_lr and not is_given:
        raise UserError(f"clip {name} brings its LR and is not degraded again: choose degradation=none")
    if is_given and not has_lr:
        raise UserError(
            f"clip {name} brings no LR, and degradation=none makes none: choose another, or data=pairs"
        )


def _told(clip: Clip) -> str:
    height, width = clip.size
    return f"{len(clip)} frames of {width}x{height}"

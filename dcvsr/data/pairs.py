"""Pairs of HR clips and precomputed LR clips."""

from collections.abc import Mapping
from dataclasses import dataclass

from dcvsr.data.clips import Clip
from dcvsr.degradation.pipeline import Degradation, Given
from dcvsr.imaging import FACTOR
from dcvsr.runtime.errors import UserError


@dataclass(frozen=True, eq=False)
class Pair:
    """An LR clip and the HR clip it was made from; ``hr`` is None for video without ground truth.

    Raises:
        UserError: if they differ in number of frames, or HR is not four times the size of LR.
    """

    hr: Clip | None
    lr: Clip

    def __post_init__(self) -> None:
        if self.hr is None:
            return
        frames, height, width = len(self.lr), *(FACTOR * side for side in self.lr.size)
        if (len(self.hr), *self.hr.size) != (frames, height, width):
            raise UserError(
                f"LR clip {self.lr.name} is {_shape(self.lr)}, its HR is {_shape(self.hr)}, but "
                f"{frames} frames of {width}x{height} are expected: give the HR that it was made from"
            )


def pairs(hr: Mapping[str, Clip], lr: Mapping[str, Clip]) -> dict[str, Pair]:
    """Pair each LR clip with the HR clip of the same name; other HR clips are ignored.

    Raises:
        UserError: if an HR clip is missing or its shape does not match.
    """
    for name in lr:
        if name not in hr:
            raise UserError(
                f"LR clip {name} has no HR clip of the same name; HR has {', '.join(hr) or 'none'}"
            )
    return {name: Pair(hr[name], clip) for name, clip in lr.items()}


def unpaired(lr: Mapping[str, Clip]) -> dict[str, Pair]:
    """Return LR clips without ground truth, as pairs."""
    return {name: Pair(None, clip) for name, clip in lr.items()}


def require_one_lr(name: str, clip: Clip | Pair, degradation: Degradation) -> None:
    """Raise UserError unless a clip has its own LR, or a degradation makes a quarter of its size."""
    has_lr, is_given = isinstance(clip, Pair), isinstance(degradation, Given)
    if has_lr and not is_given:
        raise UserError(f"clip {name} has its own LR and is not degraded again: choose degradation=none")
    if is_given and not has_lr:
        raise UserError(
            f"clip {name} has no LR, and degradation=none makes none: choose another, or data=pairs"
        )
    if not has_lr and degradation.factor != FACTOR:
        raise UserError(
            f"degradation.factor={degradation.factor}, but training and scores are of x{FACTOR}; leave it "
            "out (degrade takes other factors, and upscale other sizes)"
        )


def _shape(clip: Clip) -> str:
    height, width = clip.size
    return f"{len(clip)} frames of {width}x{height}"

"""Finishing of HR frames against bicubic I^up: colours and strength (ours; the paper has neither).

Axes: ``f c h w`` in [0, 1].
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from dcvsr.models.colour_correction import ColourCorrection, corrected

BLOCK = 16
"""Side in pixels of the blocks whose mean colours are compared."""


@dataclass
class Finishing:
    """Colour correction, then a blend with I^up; records how far colours are from I^up in the end.

    Args:
        colour: correction against I^up.
        strength: of the result's difference to I^up, in [0, 1]; 0 gives I^up, 1 the result.
    """

    colour: ColourCorrection
    strength: float
    _errors: list[float] = field(default_factory=list)

    def __call__(self, hr: Tensor, up: Tensor) -> Tensor:
        """Finish frames against their I^up; alpha, a fourth channel, stays."""
        rgb, alpha = hr.split([3, hr.shape[1] - 3], dim=1)
        if self.colour != "none":
            rgb = corrected(rgb, up, self.colour)
        if self.strength != 1:
            rgb = up.lerp(rgb, self.strength)
        rgb = rgb.clamp(0, 1)
        self._errors += [colour_error(*pair) for pair in zip(rgb, up, strict=True)]
        return torch.cat([rgb, alpha], dim=1)

    def all(self, chunks: Iterable[Tensor], up: Callable[[range], Tensor]) -> Iterator[Tensor]:
        """Finish chunks of frames; ``up`` returns the I^up of frames by their numbers."""
        done = 0
        for chunk in chunks:
            yield self(chunk, up(range(done, done + len(chunk))))
            done += len(chunk)

    def report(self) -> dict[str, float]:
        """Return the mean and largest ``colour_error`` of the frames so far."""
        errors = self._errors
        return {"mean": sum(errors) / max(1, len(errors)), "max": max(errors, default=0)}


def colour_error(frame: Tensor, up: Tensor) -> float:
    """Return the mean absolute difference of block means of two frames ``c h w``, in levels of 255."""
    means = (F.avg_pool2d(x[None], BLOCK, ceil_mode=True, count_include_pad=False) for x in (frame, up))
    a, b = means
    return 255 * (a - b).abs().mean().item()

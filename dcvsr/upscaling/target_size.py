"""Target size of an upscaling: what the upscaler receives, and what becomes of its result.

Axes: frames ``f c h w`` in [0, 1]. A size is a height and a width.
"""

import logging
import re
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from dcvsr.baselines.interpolation import Upsampling
from dcvsr.diffusion.protocols import Upscaler
from dcvsr.imaging import FACTOR, upsample
from dcvsr.models.upscaler import TiledUpscaler
from dcvsr.runtime.errors import UserError

log = logging.getLogger(__name__)

Size = tuple[int, int]

LEAST, MOST = 1, 8
"""Smallest and largest factor of a side."""


@dataclass(frozen=True)
class TargetSize:
    """Sizes of a video on its way.

    Attributes:
        lr: size of the input.
        inputs: size of what the upscaler receives.
        hr: size of the result.
    """

    lr: Size
    inputs: Size
    hr: Size

    @classmethod
    def fourfold(cls, height: int, width: int) -> "TargetSize":
        """Return the sizes of the factor that networks are trained for."""
        return cls((height, width), (height, width), (FACTOR * height, FACTOR * width))

    def before(self, lr: Tensor) -> Tensor:
        """Resample LR frames to what the upscaler receives."""
        return resampled(lr, self.inputs)

    def after(self, hr: Tensor) -> Tensor:
        """Resample what the upscaler made to the target size."""
        return resampled(hr, self.hr)

    def scaled(self, place: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return frame, row and column of the input as those of what the upscaler receives."""
        frame, y, x = place
        (height, width), (rows, columns) = self.lr, self.inputs
        return frame, round(Fraction(y * rows, height)), round(Fraction(x * columns, width))


def to_target(
    upscaler: Upscaler, whole: Size, lr: Size, size: Any, height: Any, factor: Any
) -> tuple[Upscaler, TargetSize]:
    """Return the upscaler and the sizes for the target that the keys of a command name.

    Bicubic upsampling, which is SVD's I^up, goes to the target size at once. A network that was trained for
    x4 receives LR that is upsampled first if the factor is larger, and its result is resampled.

    Args:
        upscaler: made for the factor 4.
        whole: size of the whole picture.
        lr: size of the part to upscale.
        size: ``WIDTHxHEIGHT`` of the whole picture's result; None for ``height`` or ``factor``.
        height: height of the whole picture's result; the width follows, as an even number.
        factor: of both sides.

    Raises:
        UserError: if several are given, one cannot be read, or a side grows less than once or more than 8
            times.
    """
    target = _target(whole, size, height, factor)
    factors = [Fraction(side, of) for side, of in zip(target, whole, strict=True)]
    for side, of, times in zip(target, whole, factors, strict=True):
        if not LEAST <= times <= MOST:
            given = f"size={size}" if size else f"height={height}" if height else f"factor={factor}"
            raise UserError(
                f"{given} makes {side} pixels of {of}, {float(times):.3g} times as many; "
                f"choose {LEAST} to {MOST} times"
            )
    hr = _rounded(lr[0] * factors[0]), _rounded(lr[1] * factors[1])
    if hr == TargetSize.fourfold(*lr).hr:
        return upscaler, TargetSize.fourfold(*lr)
    _warn(upscaler, whole, target)
    if isinstance(upscaler, TiledUpscaler | Upsampling) and upscaler.upsample is upsample:
        return replace(upscaler, upsample=_unchanged, factor=1), TargetSize(lr, hr, hr)
    inputs = max(lr[0], -(-hr[0] // FACTOR)), max(lr[1], -(-hr[1] // FACTOR))
    return upscaler, TargetSize(lr, inputs, hr)


def resampled(frames: Tensor, size: Size) -> Tensor:
    """Resample frames bicubically, clamped to [0, 1]; a smaller side is filtered against aliasing."""
    if tuple(frames.shape[-2:]) == size:
        return frames
    smaller = size[0] < frames.shape[-2] or size[1] < frames.shape[-1]
    return F.interpolate(frames, size, mode="bicubic", align_corners=False, antialias=smaller).clamp(0, 1)


def _unchanged(up: Tensor) -> Tensor:
    """Return frames that were upsampled before."""
    return up


def _target(whole: Size, size: Any, height: Any, factor: Any) -> Size:
    given = {"size": size, "height": height, "factor": None if factor == FACTOR else factor}
    given = {key: value for key, value in given.items() if value is not None}
    if len(given) > 1:
        said = " and ".join(f"{key}={value}" for key, value in given.items())
        raise UserError(f"{said} exclude each other; leave one out")
    if size is not None:
        if not (found := re.fullmatch(r"(\d+)x(\d+)", str(size).strip().lower())):
            raise UserError(f"size={size} is not WIDTHxHEIGHT; pass such as size=1920x1080")
        width, height = map(int, found.groups())
        return height, width
    if height is not None:
        return height, 2 * _rounded(Fraction(whole[1] * height, 2 * whole[0]))
    exact = Fraction(str(factor))
    return _rounded(whole[0] * exact), _rounded(whole[1] * exact)


def _warn(upscaler: Upscaler, whole: Size, target: Size) -> None:
    (height, width), (rows, columns) = whole, target
    if abs(rows * width - columns * height) > max(width, height):  # more than a pixel's rounding
        log.warning(
            f"{columns}x{rows} has another shape than {width}x{height} and stretches the picture; "
            f"height={rows} keeps its shape"
        )
    if upscaler.origin is not None:
        times = rows / height
        log.warning(
            f"the network was trained for x{FACTOR}, and this is x{times:.3g}; detail may be less sharp"
        )


def _rounded(number: Fraction) -> int:
    return max(1, round(number))

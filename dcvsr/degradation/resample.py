"""Resampling of a frame: as OpenCV does, which RealBasicVSR uses, or antialiased.

Axes: frames are ``c h w``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import cv2
import torch
from torch import Tensor
from torch.nn import functional as F

Size = tuple[int, int]
"""Height and width."""

OPENCV: Mapping[str, int] = {
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
}
TORCH: Mapping[str, dict[str, Any]] = {
    "bilinear": {"mode": "bilinear", "antialias": True, "align_corners": False},
    "bicubic": {"mode": "bicubic", "antialias": True, "align_corners": False},
    "area": {"mode": "area"},
}
"""Arguments of `torch.nn.functional.interpolate`."""
KERNELS = tuple(OPENCV)
A = -0.75
"""OpenCV's parameter of the cubic kernel."""


class Resample(Protocol):
    """Function that resamples ``c h w`` with one of `KERNELS`; bicubic overshoots [0, 1] at edges."""

    def __call__(self, frame: Tensor, size: Size, kernel: str) -> Tensor:
        """Apply the function."""
        ...


@dataclass(frozen=True)
class Antialiased:
    """Resampling that widens bilinear and bicubic kernels when downsampling, as Pillow does."""

    def __call__(self, frame: Tensor, size: Size, kernel: str) -> Tensor:
        """Resample ``frame`` to ``size``."""
        if frame.shape[1:] == size:
            return frame
        return F.interpolate(frame[None], size=size, **TORCH[kernel])[0]


@dataclass(frozen=True)
class OpenCV:
    """Resampling of cv2.resize: bilinear and bicubic kernels keep their width, so downsampling aliases.

    A CPU runs cv2.resize itself. Other devices multiply by the matrices of `weights`.
    """

    def __call__(self, frame: Tensor, size: Size, kernel: str) -> Tensor:
        """Resample ``frame`` to ``size``."""
        if frame.shape[1:] == size:
            return frame
        resize = by_opencv if frame.device.type == "cpu" else by_matrices
        return resize(frame, size, kernel)


ResampleName = Literal["opencv", "antialiased"]
RESAMPLES: Mapping[ResampleName, Resample] = {"opencv": OpenCV(), "antialiased": Antialiased()}


def by_opencv(frame: Tensor, size: Size, kernel: str) -> Tensor:
    """Run cv2.resize on each colour of a frame in the CPU's memory, float32; without copies."""
    height, width = size
    resized = torch.empty(len(frame), height, width)
    for before, after in zip(frame.float().numpy(), resized.numpy(), strict=True):
        cv2.resize(before, (width, height), dst=after, interpolation=OPENCV[kernel])
    return resized


def by_matrices(frame: Tensor, size: Size, kernel: str) -> Tensor:
    """Compute cv2.resize on any device, as one matrix for the rows and one for the columns.

    The results differ by less than 0.01 of 255 levels.
    """
    reduces = all(before >= after for before, after in zip(frame.shape[1:], size, strict=True))
    if kernel == "area" and reduces:
        down, right = (overlaps(*sides) for sides in zip(frame.shape[1:], size, strict=True))
    else:
        down, right = (weights(*sides, kernel) for sides in zip(frame.shape[1:], size, strict=True))
    return down.to(frame) @ frame @ right.to(frame).T


def overlaps(before: int, after: int) -> Tensor:
    """Return the share of each new pixel's interval that each old pixel covers: ``after before``, float64.

    OpenCV leaves out shares of less than 0.001 old pixels, which only sides of more than 1000 pixels have.
    """
    scale = before / after
    edges, pixels = _range(after + 1) * scale, _range(before)
    ends, starts = torch.minimum(edges[1:, None], pixels + 1), torch.maximum(edges[:-1, None], pixels)
    return (ends - starts).clamp(min=0) / scale


def weights(before: int, after: int, kernel: str) -> Tensor:
    """Return the interpolation matrix ``after before``, float64; border pixels are repeated.

    "area" is OpenCV's for upsampling: bilinear, but only where a new pixel lies on the border of old ones.
    """
    inverse = after / before
    scale = 1 / inverse  # In this order: "area" is discontinuous, so that rounding counts.
    if kernel == "area":
        first = (_range(after) * scale).floor()
        fraction = (_range(after) + 1 - (first + 1) * inverse).clamp(min=0).float().double() % 1
    else:
        centre = (_range(after) + 0.5) * scale - 0.5
        first = centre.floor()
        fraction = centre - first
    taps = torch.arange(-1, 3)
    distance = (fraction[:, None] - taps).abs()
    values = _cubic(distance) if kernel == "bicubic" else (1 - distance).clamp(min=0)
    indices = (first[:, None] + taps).clamp(0, before - 1).long()
    return torch.zeros(after, before, dtype=torch.float64).scatter_add_(1, indices, values)


def _cubic(distance: Tensor) -> Tensor:
    """Compute Keys' kernel at distances below 2."""
    near = ((A + 2) * distance - (A + 3)) * distance**2 + 1
    far = ((A * distance - 5 * A) * distance + 8 * A) * distance - 4 * A
    return torch.where(distance <= 1, near, far)


def _range(stop: int) -> Tensor:
    return torch.arange(stop, dtype=torch.float64)

"""Pixel conventions of this project: bytes and [0, 1], luma, the factor 4, and the bicubic I^up (spec A28).

The luma functions are for metrics, in float64. Degradation noise, sharpness and flat noise call kornia's
``rgb_to_grayscale`` and ``rgb_to_ycbcr``: the same weights, but rounded in the frame's own precision.
"""

from collections.abc import Callable

import torch
from einops import einsum
from torch import Tensor
from torch.nn import functional as F

FACTOR = 4
"""HR pixels per LR pixel on each axis. The method, its baselines and its data sets are all x4."""

BT601 = (299, 587, 114)
"""Thousandths of red, green and blue in luma over the full range (ITU-R BT.601)."""

BT601_LIMITED = tuple(219 * weight / 1000 for weight in BT601)
"""The same for luma from 16 to 235: 65.481, 128.553, 24.966 of MATLAB's rgb2ycbcr and of basicsr."""

NTSC = (0.298936021293776, 0.587043074451121, 0.114020904255103)
"""MATLAB's rgb2gray: the inverse of NTSC's matrix, at most 6.4e-5 off BT.601."""

Upsample = Callable[[Tensor], Tensor]
"""LR -> I^up, frame by frame: ``f c h w`` -> ``f c 4h 4w`` in [0, 1]."""


def to_unit(frames: Tensor) -> Tensor:
    """Convert uint8 or uint16 to float32 in [0, 1]."""
    return frames.float() / (65535 if frames.dtype == torch.uint16 else 255)


def to_bytes(frames: Tensor) -> Tensor:
    """Convert [0, 1] to uint8, rounded; values outside are clamped."""
    return frames.float().mul(255).round_().clamp_(0, 255).to(torch.uint8)


def to_samples(frames: Tensor, dtype: torch.dtype) -> Tensor:
    """Convert [0, 1] to uint8 or uint16, rounded; values outside are clamped."""
    if dtype == torch.uint8:
        return to_bytes(frames)
    return frames.float().mul(65535).round_().clamp_(0, 65535).to(torch.int32).to(torch.uint16)


def described(frames: object) -> str:
    """Return the type and shape of what was passed as frames, for error messages."""
    if isinstance(frames, Tensor):
        return f"{str(frames.dtype).removeprefix('torch.')} {tuple(frames.shape)}"
    return type(frames).__name__


def levels(frame: Tensor) -> Tensor:
    """Return a frame in [0, 1] as whole levels from 0 to 255, in float64."""
    return (255 * frame).round().double()


def full_range_luma(frame: Tensor) -> Tensor:
    """Return luma in levels from 0 to 255 of a frame rounded to 8 bits: ``f 3 h w`` -> float64 ``f 1 h w``.

    The weights are whole thousandths, so luma that lies halfway between two levels is exact.
    """
    rgb = levels(frame)
    return einsum(rgb, rgb.new_tensor([BT601]), "f c h w, y c -> f y h w") / 1000


def limited_range_luma(frame: Tensor, peak: int) -> Tensor:
    """Return luma from 16/255 to 235/255 of ``peak``, not rounded: ``f 3 h w`` -> float64 ``f 1 h w``."""
    rgb = frame.double()
    weights = rgb.new_tensor([BT601_LIMITED]) / (255 / peak)
    return 16 / (255 / peak) + einsum(rgb, weights, "f c h w, y c -> f y h w")


def upsample(lr: Tensor, factor: int = FACTOR) -> Tensor:
    """Compute I^up: bicubic, clamped to [0, 1]; ``f c h w`` -> ``f c (factor h) (factor w)``."""
    return F.interpolate(lr, scale_factor=factor, mode="bicubic", align_corners=False).clamp(0, 1)

"""Conversion between bytes and [0, 1], and the bicubic upsampling of this project, I^up (spec A28)."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

FACTOR = 4
"""HR pixels per LR pixel on each axis. The method, its baselines and its data sets are all x4."""

Upsample = Callable[[Tensor], Tensor]
"""LR -> I^up, frame by frame: ``f c h w`` -> ``f c 4h 4w`` in [0, 1]."""


def to_unit(frames: Tensor) -> Tensor:
    """Convert uint8 to float32 in [0, 1]."""
    return frames.float() / 255


def to_bytes(frames: Tensor) -> Tensor:
    """Convert [0, 1] to uint8, rounded; values outside are clamped."""
    return frames.float().mul(255).round_().clamp_(0, 255).to(torch.uint8)


def upsample(lr: Tensor, factor: int = FACTOR) -> Tensor:
    """Compute I^up: bicubic, clamped to [0, 1]; ``f c h w`` -> ``f c (factor h) (factor w)``."""
    return F.interpolate(lr, scale_factor=factor, mode="bicubic", align_corners=False).clamp(0, 1)

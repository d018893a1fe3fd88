"""The bicubic convention of this project: I^up (spec A28)."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

Enlarge = Callable[[Tensor], Tensor]
"""LR -> I^up, frame by frame: ``f c h w`` -> ``f c 4h 4w`` in [0, 1]."""


def upsample(lr: Tensor, factor: int = 4) -> Tensor:
    """I^up: bicubic enlargement, clamped to [0, 1]; ``f c h w`` -> ``f c (factor h) (factor w)``."""
    return F.interpolate(lr, scale_factor=factor, mode="bicubic", align_corners=False).clamp(0, 1)

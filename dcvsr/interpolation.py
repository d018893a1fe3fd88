"""The bicubic convention of this project: I^up and the LR of bicubic data (spec A28)."""

from torch import Tensor
from torch.nn import functional as F

from dcvsr.errors import UserError


def upsample(lr: Tensor, factor: int = 4) -> Tensor:
    """I^up: bicubic enlargement, clamped to [0, 1]; ``f c h w`` -> ``f c (factor h) (factor w)``."""
    return F.interpolate(lr, scale_factor=factor, mode="bicubic", align_corners=False).clamp(0, 1)


def downsample(hr: Tensor, factor: int = 4) -> Tensor:
    """Antialiased bicubic reduction, clamped to [0, 1]; ``f c h w`` -> ``f c (h / factor) (w / factor)``.

    Raises:
        UserError: if ``h`` or ``w`` is no multiple of ``factor``: nothing is cropped in silence.
    """
    height, width = hr.shape[-2:]
    if height % factor or width % factor:
        raise UserError(
            f"frames of {width}x{height} cannot be reduced {factor} times; crop them to a multiple"
        )
    size = (height // factor, width // factor)
    return F.interpolate(hr, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)

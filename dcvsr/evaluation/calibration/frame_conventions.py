"""Preprocessing that different programs apply to a frame, ``1 c h w`` of eight-bit levels in [0, 1].

Axes: f frames, c colours, y luma, h w pixels.
"""

from einops import einsum
from torch import Tensor
from torchvision.transforms.functional import resize

from dcvsr.imaging import NTSC, full_range_luma, levels, to_bytes, to_unit
from dcvsr.metrics.framewise import described
from dcvsr.runtime.errors import UserError


def luma(frame: Tensor) -> Tensor:
    """Compute full-range ITU-R BT.601 luma, .299 R + .587 G + .114 B; float64 ``f 1 h w``."""
    return full_range_luma(frame) / 255


def rounded_luma(frame: Tensor) -> Tensor:
    """Compute `luma` rounded to eight bits."""
    return _half_up(full_range_luma(frame)) / 255


def video_luma(frame: Tensor) -> Tensor:
    """Compute luma scaled to [16, 235] of 255, as in basicsr and MATLAB's rgb2ycbcr."""
    return (16 + 219 * luma(frame)) / 255


def rounded_video_luma(frame: Tensor) -> Tensor:
    """Compute `video_luma` rounded to eight bits, like MATLAB's rgb2ycbcr of uint8."""
    return _half_up(16 + 219 * luma(frame)) / 255


def matlab_gray(frame: Tensor) -> Tensor:
    """Compute MATLAB's rgb2gray of uint8.

    Its weights invert NTSC's matrix and differ from BT.601 by 1e-4, which changes the rounding near halves.
    """
    rgb = levels(frame)
    return _half_up(einsum(rgb, rgb.new_tensor([NTSC]), "f c h w, y c -> f y h w")) / 255


def cropped(frame: Tensor, border: int) -> Tensor:
    """Remove ``border`` pixels on each side.

    Raises:
        UserError: if no pixels remain.
    """
    if min(frame.shape[-2:]) <= 2 * border:
        raise UserError(f"a border of {border} pixels leaves nothing of {described(frame)}")
    return frame[..., border:-border, border:-border]


def downsampled(frame: Tensor, side: int) -> Tensor:
    """Downsample to a shorter side of ``side`` pixels, antialiased bilinear in eight bits; never upsample."""
    if min(frame.shape[-2:]) <= side:
        return frame
    return to_unit(resize(to_bytes(frame), [side], antialias=True))


def unstretched(frame: Tensor) -> Tensor:
    """Undo in advance a network's scaling of [0, 1] to [-1, 1], so that the network computes on [0, 1]."""
    return (frame + 1) / 2


def _half_up(luma: Tensor) -> Tensor:
    """Round halves up, as MATLAB does for positive numbers; torch rounds halves to even."""
    return (luma + 0.5).floor()

"""What different programs see of a frame, ``1 c h w`` of eight-bit levels in [0, 1].

Axes: f frames, c colours, y luma, h w pixels.
"""

from einops import einsum
from torch import Tensor
from torchvision.transforms.functional import resize

from dcvsr.imaging import NTSC, full_range_luma, levels, to_bytes, to_unit
from dcvsr.metrics.framewise import described
from dcvsr.runtime.errors import UserError


def luma(frame: Tensor) -> Tensor:
    """ITU-R BT.601 over the full range, .299 R + .587 G + .114 B; float64 ``f 1 h w``."""
    return full_range_luma(frame) / 255


def rounded_luma(frame: Tensor) -> Tensor:
    """`luma` as eight bits hold it."""
    return _half_up(full_range_luma(frame)) / 255


def video_luma(frame: Tensor) -> Tensor:
    """The same luma over 16 to 235 of 255, as basicsr and MATLAB's rgb2ycbcr have it."""
    return (16 + 219 * luma(frame)) / 255


def rounded_video_luma(frame: Tensor) -> Tensor:
    """`video_luma` as eight bits hold it: MATLAB's of uint8."""
    return _half_up(16 + 219 * luma(frame)) / 255


def matlab_gray(frame: Tensor) -> Tensor:
    """MATLAB's rgb2gray of uint8: the inverse of NTSC's matrix, 1e-4 off BT.601, moves levels near a half."""
    rgb = levels(frame)
    return _half_up(einsum(rgb, rgb.new_tensor([NTSC]), "f c h w, y c -> f y h w")) / 255


def cropped(frame: Tensor, border: int) -> Tensor:
    """Without ``border`` pixels on each side.

    Raises:
        UserError: if that leaves nothing.
    """
    if min(frame.shape[-2:]) <= 2 * border:
        raise UserError(f"a border of {border} pixels leaves nothing of {described(frame)}")
    return frame[..., border:-border, border:-border]


def reduced(frame: Tensor, side: int) -> Tensor:
    """The shorter side is ``side`` pixels, antialiased bilinear in eight bits; smaller frames as they are."""
    if min(frame.shape[-2:]) <= side:
        return frame
    return to_unit(resize(to_bytes(frame), [side], antialias=True))


def unstretched(frame: Tensor) -> Tensor:
    """What makes a network that stretches [0, 1] to [-1, 1] see [0, 1]."""
    return (frame + 1) / 2


def _half_up(luma: Tensor) -> Tensor:
    """Rounded as MATLAB rounds, where torch takes halves to the even neighbour."""
    return (luma + 0.5).floor()

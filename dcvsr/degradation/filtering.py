"""A frame under a small kernel.

Axes: c colours, h w pixels, y x taps; n bands of r rows.
"""

import torch
from einops import rearrange
from kornia.filters import filter2d
from torch import Tensor
from torch.nn import functional as F

BANDS = 5
"""A CPU convolves 8 or 16 channels at a time: of five bands, three colours make 15, and waste few of them."""


def filtered(frame: Tensor, kernel: Tensor) -> Tensor:
    """``c h w`` under a ``y x`` kernel of odd sides, borders reflected without repeating their pixel."""
    return _filtered(frame, kernel)


def filtered_separably(frame: Tensor, taps: Tensor) -> Tensor:
    """The same for the kernel whose rows and columns are both ``taps``."""
    return _filtered(frame, taps[:, None], taps[None])


def _filtered(frame: Tensor, *kernels: Tensor) -> Tensor:
    """Under one kernel after the other, with borders that suffice for all."""
    height, rows = frame.shape[1], -(-frame.shape[1] // BANDS)
    top, left = (sum(side // 2 for side in sides) for sides in zip(*(k.shape for k in kernels), strict=True))
    reflected = _reflected(frame, (top, BANDS * rows - height + top), (left, left))
    bands = rearrange(reflected.unfold(1, rows + 2 * top, rows), "c n w r -> 1 (c n) r w")
    for kernel in kernels:
        bands = filter2d(bands, kernel[None].to(frame), padding="valid")
    return rearrange(bands, "1 (c n) r w -> c (n r) w", n=BANDS)[:, :height]


def _reflected(frame: Tensor, vertical: tuple[int, int], horizontal: tuple[int, int]) -> Tensor:
    """torch's own reflection refuses borders wider than the frame."""
    height, width = frame.shape[1:]
    if max(vertical) < height and max(horizontal) < width:
        return F.pad(frame, (*horizontal, *vertical), mode="reflect")
    rows, columns = _indices(height, *vertical), _indices(width, *horizontal)
    return frame[:, rows.to(frame.device)][..., columns.to(frame.device)]


def _indices(side: int, before: int, after: int) -> Tensor:
    """2, 1, 0, 1, ..., side - 1, side - 2, ...: back and forth as often as it takes."""
    period = max(2 * (side - 1), 1)
    index = torch.arange(-before, side + after) % period
    return torch.minimum(index, period - index)

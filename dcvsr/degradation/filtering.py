"""A frame under a small kernel.

Axes: c colours, h w pixels, y x taps; n bands of r rows, or n blocks of r pixels from t.
"""

import torch
from einops import rearrange
from kornia.filters import filter2d
from torch import Tensor
from torch.nn import functional as F

BANDS = 5
"""A CPU convolves 8 or 16 channels at a time: of five bands, three colours make 15, and waste few of them."""
BLOCK = 32
"""Pixels of a row or column that one product filters: fewer waste its speed, more its zeros."""
UNFELT = 1e-8
"""Of a kernel that sums to one."""


def filtered(frame: Tensor, kernel: Tensor) -> Tensor:
    """``c h w`` under a ``y x`` kernel of odd sides, borders reflected without repeating their pixel."""
    kernel = _felt(kernel)
    height, rows = frame.shape[1], -(-frame.shape[1] // BANDS)
    top, left = (side // 2 for side in kernel.shape)
    reflected = _reflected(frame, (top, BANDS * rows - height + top), (left, left))
    bands = rearrange(reflected.unfold(1, rows + 2 * top, rows), "c n w r -> 1 (c n) r w")
    bands = filter2d(bands, kernel[None].to(frame), padding="valid")
    return rearrange(bands, "1 (c n) r w -> c (n r) w", n=BANDS)[:, :height]


def filtered_separably(frame: Tensor, taps: Tensor) -> Tensor:
    """The same for the kernel whose rows and columns are both ``taps``: products with a band matrix."""
    (_, height, width), side, reach = frame.shape, len(taps) // 2, BLOCK + len(taps) - 1
    below, right = -height % BLOCK + side, -width % BLOCK + side
    band = F.pad(taps.to(frame), (0, BLOCK)).repeat(BLOCK)[: BLOCK * reach].reshape(BLOCK, reach)
    blocks = _reflected(frame, (side, below), (side, right)).unfold(1, reach, BLOCK)
    tall = rearrange(torch.einsum("r t, c n w t -> c n r w", band, blocks), "c n r w -> c (n r) w")
    both = torch.einsum("r t, c h n t -> c h n r", band, tall.unfold(2, reach, BLOCK))
    return rearrange(both, "c h n r -> c h (n r)")[:, :height, :width]


def _felt(kernel: Tensor) -> Tensor:
    """Without the outer rings of taps whose sum float32 cannot tell from nothing: most kernels are narrow."""
    inner = kernel[1:-1, 1:-1]
    while inner.numel() and kernel.abs().sum() - inner.abs().sum() < UNFELT:
        kernel, inner = inner, inner[1:-1, 1:-1]
    return kernel


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

"""Filtering of a frame with a small kernel.

Axes: c colours, h w pixels, y x taps; n bands of r rows, or n blocks of r pixels from t.
"""

import torch
from einops import rearrange
from kornia.filters import filter2d
from torch import Tensor
from torch.nn import functional as F

BANDS = 5
"""CPU convolutions vectorise over 8 or 16 channels; 5 bands x 3 colours = 15 nearly fill them."""
BLOCK = 32
"""Pixels of a row or column per matrix product; smaller blocks are slower, larger ones multiply zeros."""
NEGLIGIBLE = 1e-8
"""Kernel mass that float32 cannot resolve; kernels sum to 1."""


def filtered(frame: Tensor, kernel: Tensor) -> Tensor:
    """Filter ``c h w`` with a ``y x`` kernel of odd sides; borders reflect without repeating their pixel."""
    kernel = _cropped(kernel)
    height, rows = frame.shape[1], -(-frame.shape[1] // BANDS)
    top, left = (side // 2 for side in kernel.shape)
    reflected = _reflected(frame, (top, BANDS * rows - height + top), (left, left))
    bands = rearrange(reflected.unfold(1, rows + 2 * top, rows), "c n w r -> 1 (c n) r w")
    bands = filter2d(bands, kernel[None].to(frame), padding="valid")
    return rearrange(bands, "1 (c n) r w -> c (n r) w", n=BANDS)[:, :height]


def filtered_separably(frame: Tensor, taps: Tensor) -> Tensor:
    """Filter with the outer product of ``taps`` with itself, by products with a band matrix."""
    (_, height, width), side, reach = frame.shape, len(taps) // 2, BLOCK + len(taps) - 1
    below, right = -height % BLOCK + side, -width % BLOCK + side
    band = F.pad(taps.to(frame), (0, BLOCK)).repeat(BLOCK)[: BLOCK * reach].reshape(BLOCK, reach)
    blocks = _reflected(frame, (side, below), (side, right)).unfold(1, reach, BLOCK)
    tall = rearrange(torch.einsum("r t, c n w t -> c n r w", band, blocks), "c n r w -> c (n r) w")
    both = torch.einsum("r t, c h n t -> c h n r", band, tall.unfold(2, reach, BLOCK))
    return rearrange(both, "c h n r -> c h (n r)")[:, :height, :width]


def _cropped(kernel: Tensor) -> Tensor:
    """Remove the outer rings of taps whose sum is below `NEGLIGIBLE`: most kernels are narrow."""
    inner = kernel[1:-1, 1:-1]
    while inner.numel() and kernel.abs().sum() - inner.abs().sum() < NEGLIGIBLE:
        kernel, inner = inner, inner[1:-1, 1:-1]
    return kernel


def _reflected(frame: Tensor, vertical: tuple[int, int], horizontal: tuple[int, int]) -> Tensor:
    """Pad by reflection, also beyond the frame's size, which torch's own padding refuses."""
    height, width = frame.shape[1:]
    if max(vertical) < height and max(horizontal) < width:
        return F.pad(frame, (*horizontal, *vertical), mode="reflect")
    rows, columns = _indices(height, *vertical), _indices(width, *horizontal)
    return frame[:, rows.to(frame.device)][..., columns.to(frame.device)]


def _indices(side: int, before: int, after: int) -> Tensor:
    """Return the reflected indices 2, 1, 0, 1, ..., side - 1, side - 2, ..., repeated as needed."""
    period = max(2 * (side - 1), 1)
    index = torch.arange(-before, side + after) % period
    return torch.minimum(index, period - index)

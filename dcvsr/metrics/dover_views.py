"""Views of a clip that DOVER scores: fragments for technical quality, resized frames for aesthetic quality.

The constants are those of the authors' dover.yml (val-l1080p). The authors sample from the global generators
of numpy and torch; we sample from a CPU generator, so that results do not depend on the device.

Axes: f frames of a clip; b views of t frames; c colours; h w pixels.
"""

import torch
from einops import rearrange
from torch import Generator, Tensor
from torch.nn import functional as F

from dcvsr.imaging import to_bytes
from dcvsr.runtime.errors import UserError

CLIPS, LENGTH, INTERVAL = 3, 32, 2
GRID, FRAGMENT = 7, 32
SIDE = GRID * FRAGMENT
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def technical_view(clip: Tensor, generator: Generator) -> Tensor:
    """Sample `fragments` of 3x32 frames: ``f c h w`` in [0, 1] -> ``3 c 32 224 224``, standardised."""
    parts = segments(len(clip), CLIPS, LENGTH, generator)
    return _standardised(torch.stack([fragments(_bytes(clip, part), generator) for part in parts]))


def aesthetic_view(clip: Tensor, generator: Generator) -> Tensor:
    """Sample and resize 32 frames: ``f c h w`` in [0, 1] -> ``1 c 32 224 224``, standardised.

    Bilinear without antialiasing: torchvision's default for tensors at the authors' torch 1.13.
    """
    frames = _bytes(clip, segments(len(clip), LENGTH, 1, generator).flatten())
    return _standardised(F.interpolate(frames.float(), (SIDE, SIDE), mode="bilinear").round()[None])


def segments(frames: int, count: int, length: int, generator: Generator) -> Tensor:
    """Draw frame indices ``count length``: from each of ``count`` equal parts, ``length`` at a stride of two.

    The start is random where the part is long enough, else the part's first frame. Indices past the clip's
    end wrap around. If the clip has fewer frames than parts, all parts start at its first frame.
    """
    part = frames // count
    starts = part * torch.arange(count) + _jitter(part - INTERVAL * length, (count,), generator)
    return (starts[:, None] + INTERVAL * torch.arange(length)) % frames


def fragments(frames: Tensor, generator: Generator) -> Tensor:
    """Build FAST-VQA's mosaic (Wu et al. 2022) of 7x7 squares of 32 pixels, one from each cell of the frame.

    All frames are cut at the same positions: ``t c h w`` -> ``t c 224 224``, uint8. Frames whose shorter side
    is below 224 pixels are upsampled to it, but cut at the cells of the original frame, as the authors do.

    Raises:
        UserError: if a side is shorter than a fragment.
    """
    height, width = frames.shape[-2:]
    if min(height, width) < FRAGMENT:
        raise UserError(f"DOVER needs {FRAGMENT}x{FRAGMENT} pixels, got frames of {width}x{height}")
    if min(height, width) < SIDE:
        scale = SIDE / min(height, width)
        upsampled = F.interpolate(frames.double(), scale_factor=scale, mode="bilinear")
        # The authors truncate. The added 1e-6 keeps rounding errors from lowering a value by one level.
        frames = (upsampled + 1e-6).to(torch.uint8)
    rows = _pixel_runs(height, generator)
    columns = rearrange(_pixel_runs(width, generator), "j i x -> i j 1 x")
    mosaic = frames[..., rearrange(rows, "i j y -> i j y 1"), columns]
    return rearrange(mosaic, "t c i j y x -> t c (i y) (j x)")


def _pixel_runs(size: int, generator: Generator) -> Tensor:
    """Draw a run of 32 pixels along an axis for each of the 7x7 cells: ``7 7 32``."""
    cell = size // GRID
    starts = (cell * torch.arange(GRID)).clamp(max=size - FRAGMENT)
    runs = starts[:, None] + _jitter(cell - FRAGMENT, (GRID, GRID), generator)
    return runs[..., None] + torch.arange(FRAGMENT)


def _jitter(room: int, shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Draw integers in [0, ``room``); zeros if ``room`` is not positive."""
    return torch.randint(max(room, 1), shape, generator=generator)


def _bytes(clip: Tensor, frames: Tensor) -> Tensor:
    return to_bytes(clip[frames.to(clip.device)])


def _standardised(views: Tensor) -> Tensor:
    """Standardise views ``b t c h w`` of eight-bit levels: ``b c t h w``, float32."""
    mean, std = (torch.tensor(each, device=views.device)[:, None, None] for each in (MEAN, STD))
    return rearrange((views - mean) / std, "b t c h w -> b c t h w")

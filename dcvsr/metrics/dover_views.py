"""The two views of a clip that DOVER scores: fragments for technical quality, whole frames for aesthetic.

The numbers are those of the authors' dover.yml (val-l1080p). Their sampling draws from the global state of
numpy and torch; ours from a generator on the CPU, the same for every device.

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
    """Three times 32 frames as `fragments`: ``f c h w`` in [0, 1] -> ``3 c 32 224 224``, standardised."""
    parts = segments(len(clip), CLIPS, LENGTH, generator)
    return _standardised(torch.stack([fragments(_bytes(clip, part), generator) for part in parts]))


def aesthetic_view(clip: Tensor, generator: Generator) -> Tensor:
    """32 frames resized: ``f c h w`` in [0, 1] -> ``1 c 32 224 224``, standardised.

    Bilinear without antialiasing, as torchvision resized tensors by default at the authors' torch 1.13.
    """
    frames = _bytes(clip, segments(len(clip), LENGTH, 1, generator).flatten())
    return _standardised(F.interpolate(frames.float(), (SIDE, SIDE), mode="bilinear").round()[None])


def segments(frames: int, count: int, length: int, generator: Generator) -> Tensor:
    """Which frames are seen: in each of ``count`` equal parts ``length``, two frames apart; ``count length``.

    They start anywhere in their part that leaves them room, or at its first frame. After the clip's last
    frame comes its first. The parts of a clip of fewer frames than parts all start at its first.
    """
    part = frames // count
    starts = part * torch.arange(count) + _jitter(part - INTERVAL * length, (count,), generator)
    return (starts[:, None] + INTERVAL * torch.arange(length)) % frames


def fragments(frames: Tensor, generator: Generator) -> Tensor:
    """FAST-VQA (Wu et al. 2022): a mosaic of 7x7 squares of 32 pixels, one out of each cell of the frame.

    All frames are cut at the same places: ``t c h w`` -> ``t c 224 224``, uint8. Smaller ones are upsampled
    to 224 pixels on their shorter side, yet cut where the cells of the small frame were, as the authors do.

    Raises:
        UserError: if a side is shorter than a fragment.
    """
    height, width = frames.shape[-2:]
    if min(height, width) < FRAGMENT:
        raise UserError(f"DOVER needs {FRAGMENT}x{FRAGMENT} pixels, got frames of {width}x{height}")
    if min(height, width) < SIDE:
        scale = SIDE / min(height, width)
        upsampled = F.interpolate(frames.double(), scale_factor=scale, mode="bilinear")
        # Truncated, as the authors do; the millionth keeps rounding errors from costing a level.
        frames = (upsampled + 1e-6).to(torch.uint8)
    rows = _places(height, generator)
    columns = rearrange(_places(width, generator), "j i x -> i j 1 x")
    mosaic = frames[..., rearrange(rows, "i j y -> i j y 1"), columns]
    return rearrange(mosaic, "t c i j y x -> t c (i y) (j x)")


def _places(size: int, generator: Generator) -> Tensor:
    """Pixels along an axis: one run of 32 for each of seven cells along it and seven across."""
    cell = size // GRID
    starts = (cell * torch.arange(GRID)).clamp(max=size - FRAGMENT)
    runs = starts[:, None] + _jitter(cell - FRAGMENT, (GRID, GRID), generator)
    return runs[..., None] + torch.arange(FRAGMENT)


def _jitter(room: int, shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Integers from 0 up to ``room``, exclusive; zeros where there is no room."""
    return torch.randint(max(room, 1), shape, generator=generator)


def _bytes(clip: Tensor, frames: Tensor) -> Tensor:
    return to_bytes(clip[frames.to(clip.device)])


def _standardised(views: Tensor) -> Tensor:
    """``b t c h w`` of eight-bit levels -> ``b c t h w``, float32."""
    mean, std = (torch.tensor(each, device=views.device)[:, None, None] for each in (MEAN, STD))
    return rearrange((views - mean) / std, "b t c h w -> b c t h w")

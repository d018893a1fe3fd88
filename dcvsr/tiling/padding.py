"""Padding of videos to their canvas (spec A17).

Axes: video ``f c h w``.
"""

import torch
from torch import Tensor


def padded(video: Tensor, frames: int, height: int, width: int) -> Tensor:
    """Repeat the last frame, and reflect pixels at the lower and right border, repeatedly if needed."""
    video = torch.cat([video, video[-1:].expand(frames - len(video), -1, -1, -1)])
    rows, columns = (
        _reflected(n, to, video.device) for n, to in zip(video.shape[2:], (height, width), strict=True)
    )
    return video[:, :, rows][..., columns]


def _reflected(length: int, to: int, device: torch.device) -> Tensor:
    """Return the indices 0, 1, ..., length - 1, length - 1, ..., 0, 0, 1, ... up to length ``to``."""
    index = torch.arange(to, device=device) % (2 * length)
    return torch.minimum(index, 2 * length - 1 - index)

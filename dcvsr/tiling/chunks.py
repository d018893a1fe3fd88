"""Chunks of frames that are decoded separately and cross-faded where they overlap (spec A20)."""

from collections.abc import Sequence

import torch
from torch import Tensor


def chunks(frames: int, size: int, overlap: int) -> list[slice]:
    """Cover ``frames`` by chunks of ``size`` at a stride of ``size - overlap``.

    The last chunk may be shorter, but always contains a frame of its own.

    Raises:
        ValueError: if ``size`` is below 1, or ``overlap`` is not in [0, size).
    """
    if size < 1:
        raise ValueError(f"a chunk needs at least 1 frame, got {size}")
    if not 0 <= overlap < size:
        raise ValueError(f"chunks of {size} frames can overlap by 0 to {size - 1}, got {overlap}")
    starts = range(0, max(frames - overlap, 1), size - overlap)
    return [slice(start, min(start + size, frames)) for start in starts]


def crossfaded(parts: Sequence[Tensor], overlap: int) -> Tensor:
    """Join decoded chunks ``b f c h w`` with linear cross-fades over the frames that two chunks share.

    The weights of a frame sum to one, also where more than two chunks overlap.
    """
    weight = torch.arange(1, overlap + 1)[:, None, None, None] / (overlap + 1)
    finished, last = [], parts[0]
    for part in parts[1:]:
        alone, shared = last.split([last.shape[1] - overlap, overlap], dim=1)
        faded = shared.lerp(part[:, :overlap], weight.to(part))
        finished, last = [*finished, alone], torch.cat([faded, part[:, overlap:]], dim=1)
    return torch.cat([*finished, last], dim=1)

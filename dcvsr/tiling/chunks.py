"""Chunks of frames that are decoded separately and cross-faded where they overlap (spec A20)."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor


def chunks(frames: int, size: int, overlap: int) -> list[slice]:
    """Cover ``frames`` by chunks of ``size`` that share at least ``overlap`` frames with the next.

    The last chunk ends at the last frame and shares more, because a decoder sees too little in a few frames.

    Raises:
        ValueError: if ``size`` is below 1, or ``overlap`` is not in [0, size).
    """
    if size < 1:
        raise ValueError(f"a chunk needs at least 1 frame, got {size}")
    if not 0 <= overlap < size:
        raise ValueError(f"chunks of {size} frames can overlap by 0 to {size - 1}, got {overlap}")
    starts = [*range(0, frames - size, size - overlap), max(frames - size, 0)]
    return [slice(start, min(start + size, frames)) for start in starts]


def crossfaded(parts: Iterable[tuple[slice, Tensor]]) -> Iterator[Tensor]:
    """Join decoded chunks, each with its frames ``b f c h w``; yield frames as soon as they are final.

    Frames that chunks share fade linearly. The weights of a frame sum to one, also where more than two chunks
    overlap.
    """
    start, last = 0, None
    for chunk, part in parts:
        if last is None:
            start, last = chunk.start, part
            continue
        alone, shared = last.split([chunk.start - start, start + last.shape[1] - chunk.start], dim=1)
        overlap = shared.shape[1]
        weight = torch.arange(1, overlap + 1)[:, None, None, None] / (overlap + 1)
        yield alone
        faded = shared.lerp(part[:, :overlap], weight.to(part))
        start, last = chunk.start, torch.cat([faded, part[:, overlap:]], dim=1)
    if last is not None:
        yield last

"""CUDA streams that run parallel to the training step; the CUDA branches below run only on a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def side_stream(device: torch.device, source: Tensor) -> Iterator[None]:
    """Run the body on its own CUDA stream if ``source`` is on the CPU; wait for the stream at the end."""
    if device.type != "cuda" or source.is_cuda:
        yield
        return
    stream = torch.cuda.Stream(device)
    with torch.cuda.stream(stream):
        yield
    stream.synchronize()


def on_current_stream(result: Tensor) -> Tensor:
    """Mark a result of `side_stream` as in use by this stream, so that its memory is not reused before."""
    if result.is_cuda:
        result.record_stream(torch.cuda.current_stream(result.device))
    return result

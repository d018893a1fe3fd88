"""Work on a GPU beside the training step's. Only a GPU can run the branches that name one."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def beside(device: torch.device, source: Tensor) -> Iterator[None]:
    """A stream of its own for work that begins at ``source`` off the device, done when this ends."""
    if device.type != "cuda" or source.is_cuda:
        yield
        return
    stream = torch.cuda.Stream(device)
    with torch.cuda.stream(stream):
        yield
    stream.synchronize()


def read_here(result: Tensor) -> Tensor:
    """What such work made: its memory goes back to its own stream, but not before this one has read it."""
    if result.is_cuda:
        result.record_stream(torch.cuda.current_stream(result.device))
    return result

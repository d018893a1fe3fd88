"""A loader that is one batch ahead: while a batch is used, the next one's LR is made."""

import gc
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dcvsr.runtime.errors import UserError

Batch = dict[str, Any]
Degrade = Callable[[Batch], Sequence[Callable[[], Tensor]]]
"""A batch -> what makes LR of each of its clips, ``f c h w``; in any thread, and at any time."""


class DegradingLoader(DataLoader[Batch]):
    """A DataLoader whose batches have ``"lr": list[Future[f c h w]]``, unless they bring LR of their own.

    A thread a clip: FFmpeg's codecs let go of Python's lock, and run beside each other and beside the device.
    Lightning may make it anew with other ``kwargs``.

    Args:
        degrade: the work of a batch.
        kwargs: DataLoader's.

    Raises:
        UserError: while it is iterated, from reading a clip: the line that was raised, workers or none.
    """

    def __init__(self, dataset: Dataset[Batch], *, degrade: Degrade, **kwargs: Any) -> None:
        super().__init__(dataset, **kwargs)
        self.degrade = degrade

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        # PyAV's decoders keep their threads until collected; collected in a forked worker, they wait forever.
        gc.collect()
        return self._ahead(_without_traceback(super().__iter__()))

    def _ahead(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        pool = ThreadPoolExecutor(min(self.batch_size or 1, os.cpu_count() or 1), "degrade", _alone)
        ahead: deque[Batch] = deque()
        try:
            for batch in batches:
                ahead.append(batch if "lr" in batch else batch | {"lr": self._begun(pool, batch)})
                if len(ahead) > 1:
                    yield ahead.popleft()
            yield from ahead
        except BaseException:  # GeneratorExit too: nobody waits for what is left
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown(wait=False)

    def _begun(self, pool: ThreadPoolExecutor, batch: Batch) -> list[Any]:
        return [pool.submit(work) for work in self.degrade(batch)]


def _alone() -> None:
    """One core a thread: torch keeps the number by thread, and the training step's stays as it is."""
    torch.set_num_threads(1)


def _without_traceback(batches: Iterable[Batch]) -> Iterator[Batch]:
    """What a worker process raises arrives as text: many lines, of which the last is the message."""
    try:
        yield from batches
    except UserError as error:
        raise UserError(str(error).rpartition("errors.UserError: ")[2].strip()) from error

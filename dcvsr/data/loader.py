"""Data loader that degrades the next batch while the current one is in use."""

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
"""Maps a batch to one function per clip that computes its LR, ``f c h w``, in any thread."""


class DegradingLoader(DataLoader[Batch]):
    """A DataLoader that adds ``"lr": list[Future[f c h w]]`` to batches of HR without LR.

    Each clip has a thread: FFmpeg's codecs release the GIL, so clips and the training step run in parallel.
    Lightning may construct the loader again with other ``kwargs``.

    Args:
        dataset: samples, as for DataLoader.
        degrade: returns the functions that compute the LR of a batch.
        kwargs: arguments of DataLoader.

    Raises:
        UserError: on iteration, if a clip cannot be read; one line, with and without worker processes.
    """

    def __init__(self, dataset: Dataset[Batch], *, degrade: Degrade, **kwargs: Any) -> None:
        super().__init__(dataset, **kwargs)
        self.degrade = degrade

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        # Free PyAV decoders before workers fork: freeing one waits for its threads, which no fork has.
        gc.collect()
        return self._ahead(_without_traceback(super().__iter__()))

    def _ahead(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        pool = ThreadPoolExecutor(min(self.batch_size or 1, os.cpu_count() or 1), "degrade", _use_one_core)
        ahead: deque[Batch] = deque()
        try:
            for batch in batches:
                ahead.append(batch | {"lr": self._submit(pool, batch)} if _lacks_lr(batch) else batch)
                if len(ahead) > 1:
                    yield ahead.popleft()
            yield from ahead
        except BaseException:  # including GeneratorExit: nothing will use the remaining results
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown(wait=False)

    def _submit(self, pool: ThreadPoolExecutor, batch: Batch) -> list[Any]:
        return [pool.submit(work) for work in self.degrade(batch)]


def _lacks_lr(batch: Batch) -> bool:
    return "hr" in batch and "lr" not in batch


def _use_one_core() -> None:
    """Use one core in this thread; torch's setting is per thread, so the training step keeps its own."""
    torch.set_num_threads(1)


def _without_traceback(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Reduce a worker's UserError, which arrives as the text of a traceback, to its message."""
    try:
        yield from batches
    except UserError as error:
        raise UserError(str(error).rpartition("errors.UserError: ")[2].strip()) from error

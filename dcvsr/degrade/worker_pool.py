"""Clips in parallel, each in a process of its own: what comes of one does not depend on their number."""

import os
import signal
import threading
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from typing import Any, Protocol, TypeVar

import torch

from dcvsr.runtime.errors import UserError

Result_co = TypeVar("Result_co", covariant=True)
Tick = Callable[[int], Any]
"""Told how many more frames are done."""


class Job(Protocol[Result_co]):
    """What is done with one clip; it can be pickled."""

    def __call__(self, tick: Tick) -> Result_co: ...


class Stopped(Exception):
    """The parent wants no more of it."""


def each(
    jobs: Mapping[str, Job[Result_co]], workers: int, tick: Tick
) -> Generator[tuple[str, Result_co], None, None]:
    """Do the jobs and give what comes of each as it is done; 0 workers do them in this process, in order.

    Close it where not all is taken: jobs under way then stop at their next frame.

    Raises:
        UserError: if a worker was killed.
    """
    if not workers or not jobs:
        torch.set_num_threads(1)
        for name, job in jobs.items():
            yield name, job(tick)
        return
    # Forked, FFmpeg hangs.
    context = get_context("spawn")
    done, stop = context.Value("q", 0), context.Event()
    with ProcessPoolExecutor(min(workers, len(jobs)), context, _start, (done, stop)) as pool:
        try:
            # Workers are born deaf to Ctrl-C: this process hears it, and stops them.
            heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
            try:
                pending = {pool.submit(_run, job): name for name, job in jobs.items()}
            finally:
                signal.signal(signal.SIGINT, heard)
            yield from _results(pending, done, tick)
        except BrokenProcessPool as error:
            raise UserError(
                "a worker was killed, for want of memory perhaps; run again with fewer, workers=0: what is "
                "done is kept"
            ) from error
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _results(pending: dict[Any, str], done: Any, tick: Tick) -> Generator[tuple[str, Any], None, None]:
    told = 0
    while pending:
        finished, _ = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
        frames = done.value
        tick(frames - told)
        told = frames
        for future in finished:
            yield pending.pop(future), future.result()


_parent: Any = None
"""In a worker, set by `_start` alone: the count of frames that all share, and the event that stops them."""


def _start(done: Any, stop: Any) -> None:
    global _parent  # noqa: PLW0603
    _parent = done, stop
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _run(job: Job[Any]) -> Any:
    return job(_tick)


def _tick(frames: int) -> None:
    done, stop = _parent
    with done.get_lock():
        done.value += frames
    if stop.is_set():
        raise Stopped

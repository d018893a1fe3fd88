"""Worker pool for jobs on clips; results do not depend on the number of workers."""

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
"""Progress callback; receives the number of newly finished frames."""


class Job(Protocol[Result_co]):
    """Work on one clip; can be pickled."""

    def __call__(self, tick: Tick) -> Result_co:
        """Do the work and return the result; call ``tick`` as frames are finished."""
        ...


class Stopped(Exception):
    """Raised in a worker when the parent stops it."""


def run_jobs(
    jobs: Mapping[str, Job[Result_co]], workers: int, tick: Tick
) -> Generator[tuple[str, Result_co], None, None]:
    """Run the jobs and yield the name and result of each when it is done.

    With 0 workers, jobs run in this process, in order. Close the generator to stop early; running jobs then
    stop at their next frame.

    Raises:
        UserError: if a worker was killed.
    """
    if not workers or not jobs:
        torch.set_num_threads(1)
        for name, job in jobs.items():
            yield name, job(tick)
        return
    # FFmpeg hangs in forked processes.
    context = get_context("spawn")
    done, stop = context.Value("q", 0), context.Event()
    with ProcessPoolExecutor(min(workers, len(jobs)), context, _start, (done, stop)) as pool:
        try:
            # Workers inherit SIG_IGN for SIGINT; the parent process handles it and stops them.
            handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
            try:
                pending = {pool.submit(_run, job): name for name, job in jobs.items()}
            finally:
                signal.signal(signal.SIGINT, handler)
            yield from _results(pending, done, tick)
        except BrokenProcessPool as error:
            raise UserError(
                "a worker was killed, perhaps for lack of memory; run again with fewer, workers=0, say; "
                "finished clips are kept"
            ) from error
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _results(pending: dict[Any, str], done: Any, tick: Tick) -> Generator[tuple[str, Any], None, None]:
    reported = 0
    while pending:
        finished, _ = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
        frames = done.value
        tick(frames - reported)
        reported = frames
        for future in finished:
            yield pending.pop(future), future.result()


_parent: Any = None
"""In a worker, set by `_start`: the shared count of frames, and the event that stops workers."""


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

"""Writing in a thread of its own while the next chunk is decoded."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Full, Queue

from torch import Tensor


class _Stopped(Exception):
    """Raised in the writer when making the chunks failed."""


_END, _STOPPED = object(), object()


def write_behind(write: Callable[[Iterator[Tensor]], None], chunks: Iterable[Tensor]) -> None:
    """Call ``write`` in another thread on what ``chunks`` yields, one chunk ahead of it.

    ``chunks`` runs in this thread, and stops early if ``write`` fails. If ``chunks`` fails or is interrupted,
    the iterator of ``write`` raises, so that it can tidy up.

    Args:
        write: writes an iterator of chunks.
        chunks: what to write.

    Raises:
        Exception: whatever ``chunks`` or else ``write`` raises.
    """
    queue: Queue[object] = Queue(maxsize=1)

    def arriving() -> Iterator[Tensor]:
        while isinstance(item := queue.get(), Tensor):
            yield item
        if item is _STOPPED:
            raise _Stopped

    with ThreadPoolExecutor(1, "writer") as pool:
        written, end = pool.submit(write, arriving()), _STOPPED
        try:
            for chunk in chunks:
                _put(queue, chunk, written)
                if written.done():
                    break
            end = _END
        finally:
            _put(queue, end, written)
        written.result()


def _put(queue: Queue[object], item: object, written: Future[None]) -> None:
    """Put an item as soon as there is room; drop it if the writer has ended."""
    is_put = False
    while not is_put and not written.done():
        try:
            queue.put(item, timeout=0.1)
            is_put = True
        except Full:
            pass

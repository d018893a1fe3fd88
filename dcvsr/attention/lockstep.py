"""Tasks that run side by side in one thread and meet to exchange.

A tile's network evaluation pauses in the middle of a layer until every other tile has come there too, so the
workspace is one tile's, whatever the U-Net; what a paused tile holds is its own activations.
"""

from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

T = TypeVar("T")


def side_by_side(tasks: Sequence[Callable[[], T]]) -> list[T]:
    """Results of ``tasks``, each of which waits in ``meet`` until all have come there.

    Raises:
        RuntimeError: if some end while others wait.
    """
    runners = [greenlet(task) for task in tasks]
    for runner in runners:
        runner.gr_context = copy_context()
    answers = [runner.switch() for runner in runners]
    while not all(runner.dead for runner in runners):
        if any(runner.dead for runner in runners):
            raise RuntimeError("tasks must meet equally often")
        answers = [runner.switch(answers) for runner in runners]
    return answers


def meet(offer: Any) -> list[Any]:
    """Hand in ``offer`` and get everybody's, in the order of the tasks; within ``side_by_side`` alone."""
    hub = getcurrent().parent
    assert hub is not None, "meet() outside side_by_side()"
    return hub.switch(offer)

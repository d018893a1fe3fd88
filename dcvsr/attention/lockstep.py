"""Cooperative tasks in one thread that exchange values at meeting points.

A tile's network evaluation pauses inside a layer until every other tile has reached that layer. Only one tile
computes at a time, so the workspace is that of one tile; a paused tile holds only its own activations.
"""

from collections.abc import Callable, Iterator, Sequence
from contextvars import copy_context
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

T = TypeVar("T")


Exchange = Callable[[Iterator[Any]], list[Any] | None]
"""Offers of the tasks of this process -> offers of all tasks, in their order; None if all tasks ended.

The next task computes when its offer is asked for, so an offer may travel meanwhile.
"""


def among_themselves(offers: Iterator[Any]) -> list[Any] | None:
    """Return the offers of the tasks of this process alone."""
    return list(offers) or None


def side_by_side(tasks: Sequence[Callable[[], T]], exchange: Exchange = among_themselves) -> list[T]:
    """Run ``tasks`` and return their results; each task waits in ``meet`` until all others reach it.

    An exception in a task, such as a cancellation, ends the waiting tasks before it is passed on.

    Args:
        tasks: of this process; there may be none.
        exchange: with the tasks of other processes.

    Raises:
        RuntimeError: if a task ends while others wait.
    """
    runners = [greenlet(task) for task in tasks]
    for runner in runners:
        runner.gr_context = copy_context()
    results: list[T] = []
    received: list[Any] = []  # arguments of what they return to
    try:
        while (everyone := exchange(_offers(runners, received, results))) is not None:
            if results:
                raise RuntimeError("tasks must meet equally often")
            received = [everyone]
        return results
    finally:
        for runner in runners:
            runner.throw()  # a notebook keeps the traceback, which would keep activations of waiting tiles


def _offers(runners: Sequence[greenlet], received: Sequence[Any], results: list[T]) -> Iterator[Any]:
    """Run each task to its next meeting and yield what it offers; keep the result of one that ends."""
    for runner in runners:
        value = runner.switch(*received)
        if runner.dead:
            results.append(value)
        else:
            yield value


def meet(offer: Any) -> list[Any]:
    """Exchange ``offer`` for the offers of all tasks, in their order; only valid inside ``side_by_side``."""
    hub = getcurrent().parent
    assert hub is not None, "meet() outside side_by_side()"
    return hub.switch(offer)

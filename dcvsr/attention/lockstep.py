"""Cooperative tasks in one thread that exchange values at meeting points.

A tile's network evaluation pauses inside a layer until every other tile has reached that layer. Only one tile
computes at a time, so the workspace is that of one tile; a paused tile holds only its own activations.
"""

from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

T = TypeVar("T")


Offers = list[Any] | None
"""Offers of the tasks of a process at a meeting, in their order; None if they ended."""


def among_themselves(offers: Offers) -> Offers:
    """Return the offers of the tasks of this process alone."""
    return offers


def side_by_side(
    tasks: Sequence[Callable[[], T]], exchange: Callable[[Offers], Offers] = among_themselves
) -> list[T]:
    """Run ``tasks`` and return their results; each task waits in ``meet`` until all others reach it.

    An exception in a task, such as a cancellation, ends the waiting tasks before it is passed on.

    Args:
        tasks: of this process; there may be none.
        exchange: offers of these tasks -> offers of the tasks of all processes; None ends the meetings.

    Raises:
        RuntimeError: if a task ends while others wait.
    """
    runners = [greenlet(task) for task in tasks]
    for runner in runners:
        runner.gr_context = copy_context()
    try:
        answers = [runner.switch() for runner in runners]
        while (offers := exchange(_offered(runners, answers))) is not None:
            if any(runner.dead for runner in runners):
                raise RuntimeError("tasks must meet equally often")
            answers = [runner.switch(offers) for runner in runners]
        return answers
    finally:
        for runner in runners:
            runner.throw()  # a notebook keeps the traceback, which would keep activations of waiting tiles


def _offered(runners: Sequence[greenlet], answers: list[Any]) -> Offers:
    """Return what waiting tasks offer; None if all ended."""
    if all(runner.dead for runner in runners):
        return None
    if any(runner.dead for runner in runners):
        raise RuntimeError("tasks must meet equally often")
    return answers


def meet(offer: Any) -> list[Any]:
    """Exchange ``offer`` for the offers of all tasks, in their order; only valid inside ``side_by_side``."""
    hub = getcurrent().parent
    assert hub is not None, "meet() outside side_by_side()"
    return hub.switch(offer)

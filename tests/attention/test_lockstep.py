"""Tasks that meet."""

from contextvars import ContextVar
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcvsr.attention.lockstep import meet, side_by_side


@given(tasks=st.integers(0, 6), meetings=st.integers(0, 4))
def test_everyone_gets_everyone_s_offers_in_order_and_the_results_are_in_order(tasks, meetings):
    def task(number):
        return number, [meet((number, turn)) for turn in range(meetings)]

    offers = [[(number, turn) for number in range(tasks)] for turn in range(meetings)]
    results = side_by_side([partial(task, number) for number in range(tasks)])
    assert results == [(number, offers) for number in range(tasks)]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("after", [False, True])
def test_an_exception_comes_through_and_the_others_clean_up(error, after):
    ended = []

    def waits(number):
        try:
            meet(number)
            meet(number)
        finally:
            ended.append(number)

    def fails():
        if after:
            meet(None)
        raise error("stop")

    with pytest.raises(error, match="stop") as kept:
        side_by_side([partial(waits, 0), fails, partial(waits, 2)])
    assert ended == ([0, 2] if after else [0])  # although the traceback is kept
    assert kept.tb


@pytest.mark.parametrize("meetings", [(1, 2), (2, 1), (0, 1, 1)])
def test_tasks_that_meet_unequally_often_are_an_error(meetings):
    def task(count):
        for turn in range(count):
            meet(turn)

    with pytest.raises(RuntimeError, match="equally often"):
        side_by_side([partial(task, count) for count in meetings])


def test_context_variables_are_each_task_s_own():
    variable = ContextVar("variable", default="outside")

    def inner(number):
        variable.set(f"inner {number}")
        return meet(variable.get()), variable.get()

    def outer(number):
        seen = variable.get()
        variable.set(f"outer {number}")
        within = side_by_side([partial(inner, i) for i in range(2)])
        meet(None)
        return seen, within, variable.get()

    variable.set("caller")
    names = ["inner 0", "inner 1"]
    within = [(names, "inner 0"), (names, "inner 1")]
    assert side_by_side([partial(outer, i) for i in range(3)]) == [
        ("caller", within, f"outer {i}") for i in range(3)
    ]
    assert variable.get() == "caller"

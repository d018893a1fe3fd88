"""Laws of the coordinates that a page draws curves from."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcvsr.page.curve import BOTTOM, LEFT, RIGHT, TOP, curve, decade_ticks, even_ticks

VALUES = st.floats(-1e6, 1e6).map(lambda value: round(value, 4))


def corners(line: str) -> list[tuple[float, ...]]:
    return [tuple(map(float, point.split(","))) for point in line.split()]


@given(st.lists(VALUES, min_size=1, max_size=60))
def test_every_point_lies_within_the_axes(values: list[float]) -> None:
    drawn = curve("any", list(enumerate(values)))
    for x, y in [*corners(drawn.raw), *corners(drawn.mean), drawn.end]:
        assert LEFT - 1e-6 <= x <= RIGHT + 1e-6
        assert TOP - 1e-6 <= y <= BOTTOM + 1e-6


@given(VALUES, VALUES)
def test_even_ticks_are_few_and_within(one: float, other: float) -> None:
    low, high = sorted((one, other))
    ticks = even_ticks(low, high)
    assert 1 <= len(ticks) <= 6
    slack = 1e-9 * (high - low) + 1e-12 * max(abs(low), abs(high))
    assert all(low - slack <= tick <= high + slack for tick in ticks)


@given(st.floats(1e-6, 1e3), st.floats(11, 1e6))
def test_decades_have_a_tick_within(low: float, ratio: float) -> None:
    ticks = decade_ticks(low, low * ratio)
    assert ticks
    assert all(low <= tick <= low * ratio for tick in ticks)


def test_a_loss_that_halves_over_and_over_is_a_straight_line() -> None:
    points = corners(curve("halving", [(step, 0.5**step) for step in range(12)]).raw)
    falls = [after[1] - before[1] for before, after in pairwise(points)]
    assert falls == pytest.approx([falls[0]] * len(falls), abs=0.11)


def test_the_mean_smooths_a_twentieth_of_the_run() -> None:
    drawn = curve("zigzag", [(step, step % 2) for step in range(40)])
    assert {y for _, y in corners(drawn.mean)[1:]} == {(TOP + BOTTOM) / 2}
    assert math.isclose(float(drawn.last), 0.5)

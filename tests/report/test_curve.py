"""Laws of the coordinates that a page draws curves from."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcvsr.report.axes import BOTTOM, LEFT, RIGHT, TOP
from dcvsr.report.curve import curve

VALUES = st.floats(-1e6, 1e6).map(lambda value: round(value, 4))


def corners(line: str) -> list[tuple[float, ...]]:
    return [tuple(map(float, point.split(","))) for point in line.split()]


@given(st.lists(VALUES, min_size=1, max_size=60))
def test_every_point_lies_within_the_axes(values: list[float]) -> None:
    drawn = curve("any", list(enumerate(values)))
    for x, y in [*corners(drawn.raw), *corners(drawn.mean), drawn.end]:
        assert LEFT - 1e-6 <= x <= RIGHT + 1e-6
        assert TOP - 1e-6 <= y <= BOTTOM + 1e-6


def test_a_loss_that_halves_over_and_over_is_a_straight_line() -> None:
    points = corners(curve("halving", [(step, 0.5**step) for step in range(12)]).raw)
    falls = [after[1] - before[1] for before, after in pairwise(points)]
    assert falls == pytest.approx([falls[0]] * len(falls), abs=0.11)


def test_the_mean_smooths_a_twentieth_of_the_run() -> None:
    drawn = curve("zigzag", [(step, step % 2) for step in range(40)])
    assert {y for _, y in corners(drawn.mean)[1:]} == {(TOP + BOTTOM) / 2}
    assert math.isclose(float(drawn.last), 0.5)

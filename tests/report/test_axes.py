"""Axes: ticks few and in place, decades where values span more than one."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcvsr.report.axes import axis, decade_ticks, even_axis, even_ticks

VALUES = st.floats(-1e6, 1e6).map(lambda value: round(value, 4))


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


@given(st.lists(VALUES, min_size=1, max_size=9))
def test_the_least_lies_at_the_start_the_greatest_at_the_end_and_ticks_where_their_numbers_do(
    values: list[float],
) -> None:
    for drawn in (axis(values, 180, 18), even_axis(values, 180, 18)):
        ends = (drawn.place(min(values)), drawn.place(max(values)))
        assert ends == pytest.approx((99, 99) if min(values) == max(values) else (180, 18))
        assert all(18 - 1e-6 <= place <= 180 + 1e-6 for place, _ in drawn.ticks)


def test_by_decades_equal_ratios_are_equally_far() -> None:
    drawn = axis([0.01, 1], 0, 100)
    assert [drawn.place(value) for value in (0.01, 0.1, 1)] == pytest.approx([0, 50, 100])
    assert [text for _, text in drawn.ticks] == ["0.01", "0.1", "1"]
    assert math.isclose(axis([0, 1], 0, 100).place(0.5), 50)
    assert math.isclose(even_axis([0.01, 1], 0, 99).place(0.505), 49.5)


def test_close_values_have_ticks_that_differ() -> None:
    texts = [text for _, text in axis([29.312, 29.345], 0, 1).ticks]
    assert len(set(texts)) == len(texts) > 1

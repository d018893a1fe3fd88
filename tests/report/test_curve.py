"""Training curves: their running mean, and their figure."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcvsr.report.charts import curve_figure
from dcvsr.report.curve import Curve, curve

VALUES = st.floats(-1e6, 1e6).map(lambda value: round(value, 4))


@given(st.lists(VALUES, min_size=1, max_size=60))
def test_every_point_lies_within_the_axes(values: list[float]) -> None:
    drawn = curve("any", list(enumerate(values)))
    assert (drawn.steps, drawn.values) == (tuple(range(len(values))), tuple(values))
    [axes] = curve_figure(drawn).axes
    raw, mean = axes.lines
    assert (raw.get_xydata().tolist(), mean.get_xydata().tolist()) == (
        [[step, value] for step, value in enumerate(values)],
        [[step, value] for step, value in enumerate(drawn.means)],
    )
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    for step, *both in zip(drawn.steps, drawn.values, drawn.means, strict=True):
        assert left <= step <= right
        assert all(bottom <= value <= top for value in both)


def test_a_loss_that_halves_over_and_over_is_a_straight_line() -> None:
    [axes] = curve_figure(curve("halving", [(step, 0.5**step) for step in range(12)])).axes
    axes.autoscale_view()
    points = axes.transData.transform(axes.lines[0].get_xydata())
    falls = [after[1] - before[1] for before, after in pairwise(points)]
    assert falls == pytest.approx([falls[0]] * len(falls))


def test_the_mean_smooths_a_twentieth_of_the_run() -> None:
    drawn = curve("zigzag", [(step, step % 2) for step in range(40)])
    assert {*drawn.means[1:]} == {0.5}
    assert drawn.last == "0.5"


def test_the_last_mean_is_in_the_title_and_at_the_dot() -> None:
    figure = curve_figure(Curve("any", (0, 10), (3, 1), (3, 2)))
    _, mean = figure.axes[0].lines
    assert (mean.get_marker(), mean.get_markevery()) == ("o", [-1])
    assert Curve("any", (0, 10), (3, 1), (3, 2)).last == "2"
    assert figure.axes[0].get_xlabel() == "optimizer step"

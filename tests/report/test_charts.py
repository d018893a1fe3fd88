"""Figures: scales and ticks of the axes, numbers of the series, and the SVG that a page holds."""

from collections.abc import Sequence
from itertools import combinations
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.axis import Axis

from dcvsr.report.charts import curve_figure, curve_svg, plot_figure, plot_svg
from dcvsr.report.curve import curve
from dcvsr.report.plots import Plot, Point, Series

VALUES = st.floats(-1e6, 1e6).map(lambda value: round(value, 4))


def drawn(values: Sequence[float]) -> Axes:
    [axes] = curve_figure(curve("any", list(enumerate(values)))).axes
    axes.autoscale_view()
    return axes


def seen(axis: Axis) -> list[float]:
    """The ticks inside the view."""
    low, high = sorted(axis.get_view_interval())
    return [tick for tick in axis.get_ticklocs() if low <= tick <= high]


def heights(axes: Axes, values: Sequence[float]) -> list[float]:
    """Return the positions of values on the y axis, from 0 at the bottom of the axes to 1 at the top."""
    data = axes.transData.transform([(0, value) for value in values])
    return axes.transAxes.inverted().transform(data)[:, 1].tolist()


def plot(ends: Sequence[tuple[float, float]], against: str = "seconds", labels: Sequence[str] = ()) -> Plot:
    """Series of one point each."""
    labels = labels or [f"row {n}" for n in range(len(ends))]
    series = [
        Series(n, label, [Point(x, y, None, 1)])
        for n, (label, (x, y)) in enumerate(zip(labels, ends, strict=True), 1)
    ]
    return Plot("X", "psnr", "PSNR ↑", against, list(labels), series)


@given(VALUES, VALUES)
def test_ticks_are_few(one: float, other: float) -> None:
    axes = drawn([one, other])
    assert 1 <= len(seen(axes.xaxis)) <= 6
    assert 1 <= len(seen(axes.yaxis)) <= 8


@given(st.floats(1e-6, 1e3), st.floats(11, 1e6))
def test_decades_have_a_tick_within_the_values(low: float, ratio: float) -> None:
    axes = drawn([low, low * ratio])
    assert axes.get_yscale() == "log"
    assert [tick for tick in seen(axes.yaxis) if low <= tick <= low * ratio]


@given(st.lists(VALUES, min_size=1, max_size=9))
def test_the_least_value_lies_as_far_from_the_bottom_as_the_greatest_from_the_top(
    values: list[float],
) -> None:
    low, high = heights(drawn(values), [min(values), max(values)])
    assert (low, high) == pytest.approx((0.5, 0.5) if min(values) == max(values) else (1 / 22, 21 / 22))


def test_by_decades_equal_ratios_are_equally_far() -> None:
    axes = drawn([0.01, 1])
    low, middle, high = heights(axes, [0.01, 0.1, 1])
    assert middle - low == pytest.approx(high - middle)
    texts = [label.get_text() for label in axes.get_yticklabels()]
    assert [text for text in texts if text in ("0.01", "0.1", "1")] == ["0.01", "0.1", "1"]
    assert heights(drawn([0, 1]), [0.5]) == pytest.approx([0.5])
    steps = curve_figure(curve("any", [(0.01, 0), (1, 1)])).axes[0]
    assert steps.get_xscale() == "linear"


@pytest.mark.parametrize("values", [(29.312, 29.345), (123456.7, 123456.8)])
def test_close_values_have_ticks_that_differ(values: tuple[float, float]) -> None:
    axes = drawn(values)
    texts = [label.get_text() for label in axes.get_yticklabels()]
    assert len(set(texts)) == len(texts) > 1


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=12))
def test_numbers_of_series_do_not_cover_one_another(ends: list[tuple[int, int]]) -> None:
    figure = plot_figure(plot(ends))
    numbers = figure.axes[0].texts
    assert {text.get_text() for text in numbers} == {str(n + 1) for n in range(len(ends))}
    figure.draw_without_rendering()
    for one, other in combinations([text.get_window_extent().padded(0, -1.5) for text in numbers], 2):
        assert not one.overlaps(other)


@pytest.mark.parametrize("heights", [(0, 1, 1.01, 1.02, 9), (0, 8, 8.01, 8.02, 9)])
def test_numbers_are_in_the_order_of_their_points(heights: tuple[float, ...]) -> None:
    figure = plot_figure(plot([(0, y) for y in heights]))
    figure.draw_without_rendering()
    bottoms = {text.get_text(): text.get_window_extent().y0 for text in figure.axes[0].texts}
    assert sorted(bottoms, key=lambda number: bottoms[number]) == ["1", "2", "3", "4", "5"]


def test_a_page_s_drawing_is_named_and_reaches_nothing_outside_it() -> None:
    text = f"<p>{plot_svg(plot([(0, 1), (1, 2)]))}{curve_svg(curve('loss', [(0, 1), (1, 2)]))}</p>"
    page = ElementTree.fromstring(text)
    assert [svg.get("aria-label") for svg in page.iter("svg")] == ["PSNR ↑ against seconds (X)", "loss"]
    ids = [element.attrib["id"] for element in page.iter() if "id" in element.attrib]
    assert len({*ids}) == len(ids)
    assert {use.attrib["href"] for use in page.iter("use")} == {f"#{name}" for name in ids}
    assert not [outside for outside in ("http", "url(", "<style", "<!DOCTYPE", "clip") if outside in text]
    assert "#" not in "".join(element.get("style", "") for element in page.iter()), "a colour of one scheme"


def test_markers_tell_their_series_and_numbers() -> None:
    page = ElementTree.fromstring(plot_svg(plot([(0, 1), (2, 3.25)])))
    hints = [title.text for use in page.iter("use") for title in use]
    assert hints == ["row 0: 1 at 0", "row 1: 3.25 at 2"]


def test_labels_are_text_and_not_markup_or_formulas() -> None:
    hostile = "a $x^2$ <b> & \\frac"
    page = ElementTree.fromstring(plot_svg(plot([(0, 1), (2, 3)], hostile, [hostile, "b"])))
    assert hostile in [text.text for text in page.iter("text")]
    assert f"{hostile}: 1 at 0" in [title.text for title in page.iter("title")]


def test_equal_figures_are_equal_files() -> None:
    assert plot_svg(plot([(0, 1), (1, 2)])) == plot_svg(plot([(0, 1), (1, 2)]))

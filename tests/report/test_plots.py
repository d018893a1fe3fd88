"""Plots: their points and spreads, inside the axes of the figure, and their place on the page."""

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from dcvsr.report.__main__ import Content, render
from dcvsr.report.charts import plot_figure
from dcvsr.report.plots import Plot, Point, plots
from dcvsr.report.runs import Run
from dcvsr.report.table_files import points
from tests.report.making import run

RATES = {0.0625: [20.0, 30.0], 1.0: [26.0, 34.0], 0.25: [22.0, 32.0]}


def sweep(guidance: str = "dssag", seeds: int = 1, gain: float = 0.0) -> list[Run]:
    """SAP rates, PSNR a clip; a seed adds its number."""
    return [
        run(
            "dcvsr",
            seed,
            settings=(f"guidance={guidance}", f"propagation.sap.rate={rate:g}"),
            psnr=[value + gain + seed for value in values],
        )
        for rate, values in RATES.items()
        for seed in range(seeds)
    ]


def only(drawn: Sequence[Plot], against: str = "propagation.sap.rate") -> Plot:
    [plot] = [plot for plot in drawn if plot.against == against]
    return plot


def page(drawn: Sequence[Plot]) -> str:
    return render(Content(plots=drawn, settings={"title": "text"}))


def barred(plot: Plot, axes: Axes) -> list[tuple[Point, list[list[float]]]]:
    """Each point that has a spread, with its error bar."""
    return list(
        zip([p for one in plot.series for p in one.points if p.spread is not None], bars(axes), strict=True)
    )


def figure_axes(plot: Plot) -> Axes:
    [axes] = plot_figure(plot).axes
    return axes


def lines(axes: Axes) -> list[list[list[float]]]:
    """The points of each series as the figure has them."""
    return [line.get_xydata().tolist() for line in axes.lines]


def bars(axes: Axes) -> list[list[list[float]]]:
    """The lower and the upper end of each error bar as the figure has them."""
    return [
        bar.tolist()
        for one in axes.collections
        if isinstance(one, LineCollection)
        for bar in one.get_segments()
    ]


def test_a_sweep_is_a_line_of_means_in_the_order_of_its_numbers() -> None:
    plot = only(plots(sweep()))
    [series] = plot.series
    assert (series.label, plot.title, plot.dataset) == ("dcvsr", "PSNR ↑", "X")
    assert [(p.x, p.y, p.spread) for p in series.points] == [
        (0.0625, 25, None),
        (0.25, 27, None),
        (1, 30, None),
    ]
    axes = figure_axes(plot)
    assert lines(axes) == [[[0.0625, 25], [0.25, 27], [1, 30]]]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear"), "by decades"
    assert axes.get_xlabel() == "propagation.sap.rate"
    assert not axes.texts, "one series needs no number"


def test_bars_are_the_spread_over_seeds_and_one_seed_has_none() -> None:
    one, three = only(plots(sweep())), only(plots(sweep(seeds=3)))
    assert [point.spread for point in one.series[0].points] == [None] * 3
    assert not bars(figure_axes(one))
    deviation = np.std([0, 1, 2], ddof=1)
    for point in three.series[0].points:
        assert (point.spread, point.seeds) == (pytest.approx(deviation), 3)
    assert np.array(bars(figure_axes(three))) == pytest.approx(
        np.array([[[p.x, p.y - deviation], [p.x, p.y + deviation]] for p in three.series[0].points])
    )


def test_what_differs_in_more_than_the_swept_number_is_a_line_of_its_own() -> None:
    plot = only(plots([*sweep("dssag"), *sweep("sag", gain=1), run("bicubic", psnr=[1.0, 2.0])]))
    assert [(series.label, series.points[0].y) for series in plot.series] == [
        ("dcvsr guidance=dssag", 25),
        ("dcvsr guidance=sag", 26),
    ]
    assert [(series.number, plot.labels[series.number - 1]) for series in plot.series] == [
        (1, "dcvsr guidance=dssag"),
        (2, "dcvsr guidance=sag"),
    ]
    axes = figure_axes(plot)
    assert [text.get_text() for text in sorted(axes.texts, key=lambda text: text.xy[1])] == ["1", "2"]
    assert [text.xy for text in sorted(axes.texts, key=lambda text: text.xy[1])] == [(1, 30), (1, 31)]
    solid, dashed = (line.get_linestyle() for line in axes.lines)
    assert solid != dashed
    alone = [run("dcvsr", settings=(f"rho={n}", f"s={n}"), psnr=[1.0]) for n in (1, 2)]
    assert not plots(alone), "two numbers that change at once"


def test_words_infinities_and_what_has_one_value_are_no_sweep() -> None:
    for values in (("dcvsr", "sap"), ("inf", "1"), ("nan", "1"), ("1", "1.0")):
        assert not plots([run("dcvsr", settings=(f"key={value}",), psnr=[1.0]) for value in values])


def test_every_row_stands_where_its_cost_is() -> None:
    runs = [
        run("bicubic", evaluations=0, psnr=[26.0]),
        *[run("dcvsr", seed, evaluations=800, psnr=[24.0 + seed]) for seed in (0, 1)],
    ]
    plot = only(plots(runs), "U-Net evaluations")
    assert [(s.label, [(p.x, p.y) for p in s.points]) for s in plot.series] == [
        ("bicubic", [(0, 26)]),
        ("dcvsr", [(800, 24.5)]),
    ]
    assert [drawn.against for drawn in plots(runs)] == ["U-Net evaluations"], "all took the same seconds"
    slow = [replace(made, seconds=made.evaluations + 1.0) for made in runs]
    assert only(plots(slow), "seconds").series[1].points[0].x == 801


def test_points_are_means_over_the_clips_that_all_have() -> None:
    runs = [run("dcvsr", settings=(f"rho={n}",), seams=[float(n), m]) for n, m in ((1, None), (2, 9.0))]
    assert [point.y for point in only(plots(runs), "rho").series[0].points] == [1, 2]
    runs = [run("dcvsr", settings=(f"rho={n}",), seams=[m]) for n, m in ((1, None), (2, 9.0))]
    assert not plots(runs)


def test_other_clips_and_other_metrics_have_plots_of_their_own() -> None:
    both = [
        run("dcvsr", dataset=dataset, settings=(f"rho={n}",), psnr=[n], lpips=[n])
        for dataset in "XY"
        for n in (1, 2)
    ]
    assert [(plot.dataset, plot.metric) for plot in plots(both)] == [
        ("X", "psnr"),
        ("X", "lpips"),
        ("Y", "psnr"),
        ("Y", "lpips"),
    ]


NUMBERS = st.floats(-1e4, 1e4).map(lambda value: round(value, 3))


@settings(max_examples=25)  # Each draws a figure.
@given(st.dictionaries(NUMBERS, st.lists(NUMBERS, min_size=2, max_size=2), min_size=2, max_size=8))
def test_points_and_bars_lie_inside_the_axes_and_in_order(values: dict[float, list[float]]) -> None:
    runs = [
        run("dcvsr", seed, settings=(f"key={x!r}",), evaluations=1 + i, psnr=[ys[seed]])
        for i, (x, ys) in enumerate(values.items())
        for seed in (0, 1)
    ]
    drawn = plots(runs)
    assert drawn
    for plot in drawn:
        axes = figure_axes(plot)
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        assert lines(axes) == [[[point.x, point.y] for point in one.points] for one in plot.series]
        for places in lines(axes):
            assert all(one <= other for (one, _), (other, _) in pairwise(places))
        for places in [*lines(axes), *bars(axes)]:
            assert all(left <= x <= right and bottom <= y <= top for x, y in places)
        ends = [(low <= point.y <= high, point.x == x) for point, ((x, low), (_, high)) in barred(plot, axes)]
        assert len(ends) == sum(len(one.points) for one in plot.series)
        assert all(all(end) for end in ends)


def test_the_page_numbers_rows_apart_for_each_set_of_clips() -> None:
    few = [run(name, evaluations=n, psnr=[n]) for n, name in enumerate(("a", "b"))]
    many = [run(name, evaluations=n, psnr=[n, n]) for n, name in enumerate(("c", "d", "e"))]
    text = page(plots([*few, *many]))
    assert (text.count("<details open"), text.count("<ol"), text.count("<li>")) == (1, 2, 5)


def test_a_plot_is_written_a_line_each_point() -> None:
    lines = list(csv.reader(io.StringIO(points([only(plots(sweep(seeds=2)))]))))
    assert lines[0] == ["dataset", "metric", "against", "row", "x", "y", "spread", "seeds"]
    assert lines[1] == ["X", "psnr", "propagation.sap.rate", "dcvsr", "0.0625", "25.5", "0.707107", "2"]
    assert len(lines) == 4


def test_the_page_draws_every_point_and_bar_and_keeps_text_text() -> None:
    hostile = "<script>alert(1)</script>"
    drawn = plots(
        [*sweep(hostile, seeds=2), *sweep("sag", seeds=2), run("bicubic", evaluations=0, psnr=[1.0, 2.0])]
    )
    text = page(drawn)
    series = [one for plot in drawn for one in plot.series]
    assert text.count("<svg") == len(drawn) == 2
    for plot in drawn:
        axes = figure_axes(plot)
        assert lines(axes) == [[[p.x, p.y] for p in one.points] for one in plot.series]
        assert len(barred(plot, axes)) == sum(p.spread is not None for one in plot.series for p in one.points)
        assert f'aria-label="{plot.title} against {plot.subject}"' in text
    assert text.count("</title></use>") == sum(len(one.points) for one in series)
    assert text.count("<details open") == 2
    assert hostile not in text
    assert text.count("<li>dcvsr guidance=sag</li>") == 1
    assert ">2</text>" in text
    assert "Plots" not in page([])

"""Plots and training curves as matplotlib figures, and figures as SVG for a page."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from dcvsr.report.curve import Curve
from dcvsr.report.plots import Plot, Series

if TYPE_CHECKING:  # the extra `report` installs them
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

SOFT, LINE, ACCENT, RAW = "#5d6873", "#dcdfe2", "#b4451f", "#c9ced3"
VARIABLES = {SOFT: "var(--soft)", LINE: "var(--line)", ACCENT: "var(--accent)", RAW: "var(--raw)"}
"""Colours of figures -> the variables of style.html that replace them in a page, for its dark scheme."""

STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": LINE,
    "axes.facecolor": "none",
    "axes.formatter.useoffset": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": SOFT,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "grid.color": LINE,
    "grid.linewidth": 0.5,
    "lines.markersize": 5,
    "svg.fonttype": "none",
    "text.color": SOFT,
    "text.parse_math": False,
    "xtick.color": LINE,
    "xtick.labelcolor": SOFT,
    "ytick.color": LINE,
    "ytick.labelcolor": SOFT,
    "ytick.major.size": 0,
}
SIZE = (5.0, 2.9)
"""Width and height of one plot in inches of 72 SVG units. A page shows a unit as 1 to 1.4 pixels."""


@contextmanager
def style(changes: Mapping[Any, Any] = MappingProxyType({})) -> Iterator[None]:
    """Set matplotlib's parameters to STYLE with ``changes``, for a block or as a decorator."""
    from matplotlib import rc_context

    with rc_context(STYLE | {**changes}):
        yield


@style()
def plot_figure(plot: Plot) -> Figure:
    """Draw one metric; the page captions it."""
    from matplotlib.figure import Figure

    figure = Figure(SIZE, layout="constrained")
    draw_plot(figure.add_subplot(), plot)
    return figure


@style()
def curve_figure(curve: Curve) -> Figure:
    """Draw logged values as a thin line and their running mean as a thick one, with a dot at its end."""
    from matplotlib.figure import Figure

    figure = Figure(SIZE, layout="constrained")
    axes = figure.add_subplot(xlabel="optimizer step")
    axes.plot(curve.steps, curve.values, color=RAW, linewidth=0.8)
    axes.plot(curve.steps, curve.means, color=ACCENT, linewidth=1.8, marker="o", markevery=[-1])
    axes.set_yscale(_scale(curve.values))
    _ticks(axes.xaxis)
    _ticks(axes.yaxis)
    return figure


def draw_plot(axes: Axes, plot: Plot) -> None:
    """Draw each series as a line of points with error bars, and its number at its last point."""
    for series in plot.series:
        x, y = [point.x for point in series.points], [point.y for point in series.points]
        # Numbers and dashes tell series apart; colours would need one palette for each scheme of the page.
        dashes = "solid" if series is plot.series[0] else (0, (1 + series.number, 2))
        axes.plot(x, y, color=ACCENT, linestyle=dashes, marker="o", gid=_gid(series))
        bars = [(point.x, point.y, point.spread) for point in series.points if point.spread is not None]
        if bars:
            axes.errorbar(*zip(*bars, strict=True), fmt="none", ecolor=ACCENT)
    axes.set_xlabel(plot.against)
    axes.set_xscale(_scale([point.x for series in plot.series for point in series.points]))
    axes.set_yscale(_scale(plot.heights))
    _ticks(axes.xaxis)
    _ticks(axes.yaxis)
    if len(plot.labels) > 1:
        _number(axes, plot.series)


def plot_svg(plot: Plot) -> Markup:
    """Return a plot as an inline ``<svg>``; a point under the pointer shows its series and its numbers."""
    hints = {
        _gid(series): [f"{series.label}: {point.y:.6g} at {point.x:.6g}" for point in series.points]
        for series in plot.series
    }
    return _inline(plot_figure(plot), f"{plot.title} against {plot.subject}", hints)


def curve_svg(curve: Curve) -> Markup:
    """Return a training curve as an inline ``<svg>``."""
    return _inline(curve_figure(curve), curve.title, {})


def svg(figure: Figure, salt: str = "dcvsr") -> bytes:
    """Return an SVG file with reproducible bytes; figures with different ``salt`` share no ids."""
    file = io.BytesIO()
    with style({"svg.hashsalt": salt}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def _inline(figure: Figure, label: str, hints: Mapping[str, Sequence[str]]) -> Markup:
    """Return the SVG as part of a page.

    Drops the ``<style>``, which would apply to the whole page, and ids that every figure repeats. Drops clip
    paths too: every artist lies within its axes, and ``url(#id)`` fails in a part of the page that is hidden.

    Args:
        figure: the figure to embed.
        label: text for screen readers.
        hints: gid of a line -> a tooltip for each of its markers.
    """
    from markupsafe import Markup

    drawing = ElementTree.fromstring(svg(figure, salt=ascii(label)))
    page = ElementTree.Element(
        "svg", viewBox=drawing.get("viewBox", ""), role="img", attrib={"aria-label": label}
    )
    page.extend(drawing.findall("{*}g"))
    for element in page.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = {name.rpartition("}")[2]: value for name, value in element.items()}
        element.attrib.pop("clip-path", None)
        if style := element.get("style"):
            for colour, variable in VARIABLES.items():
                style = style.replace(colour, variable)
            element.set("style", style)
    for group in page.iter("g"):
        for marker, hint in zip(group.iter("use"), hints.get(group.attrib.pop("id", ""), ()), strict=False):
            ElementTree.SubElement(marker, "title").text = hint
    return Markup(ElementTree.tostring(page, encoding="unicode"))


def _gid(series: Series) -> str:
    return f"series{series.number}"


def _number(axes: Axes, series: Sequence[Series]) -> None:
    """Write the number of each series beside its last point, in the same order, none over another.

    Numbers move towards the emptier half of the axes, so that a pile of them does not leave the figure.
    """
    axes.autoscale_view()  # brings transData up to date
    ends = [(one.points[-1].x, one.points[-1].y) for one in series]
    middle = axes.bbox.y0 + axes.bbox.height / 2
    places = 72 / axes.figure.dpi * (axes.transData.transform(ends) - (0, middle))
    away = 1 if places[:, 1].mean() < 0 else -1
    placed: list[tuple[float, float]] = []
    for i in sorted(range(len(ends)), key=lambda i: away * places[i, 1]):
        x, y = places[i]
        height = y
        while any(abs(x - other) < 14 and abs(height - taken) < 10 for other, taken in placed):
            height += away
        placed.append((x, height))
        number = str(series[i].number)
        axes.annotate(number, ends[i], (5, height - y), textcoords="offset points", va="center")


def _scale(values: Collection[float]) -> str:
    """Return ``log`` for positive values that span more than a decade, else ``linear``."""
    return "log" if 0 < 10 * min(values) < max(values) else "linear"


def _ticks(axis: Axis) -> None:
    """Put about five ticks on an axis, at round numbers."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    if axis.get_scale() == "linear":
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        return
    low, high = axis.get_data_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())

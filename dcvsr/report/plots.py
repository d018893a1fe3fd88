"""Metrics against what was swept and against cost, as coordinates of an SVG."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from statistics import fmean

from dcvsr.report.axes import BOTTOM, LEFT, RIGHT, TOP, Axis, axis
from dcvsr.report.row_scores import coverage, directions, heading, scores
from dcvsr.report.runs import Run, by_label, families, on_the_same_clips
from dcvsr.report.statistics import Scores, mean, spread

Rows = Mapping[str, Sequence[Run]]
"""Label -> its seeds."""

Lines = dict[str, dict[str, float]]
"""Label of a series -> label of a row -> its place on the x axis."""

COSTS: Mapping[str, Callable[[Run], float]] = {
    "U-Net evaluations": lambda run: run.evaluations,
    "seconds": lambda run: run.seconds,
}


@dataclass(frozen=True)
class Point:
    """A row's mean over clips, and its standard deviation over seeds; None for one seed."""

    x: float
    y: float
    spread: float | None
    seeds: int


@dataclass(frozen=True)
class Series:
    """Points in the order of their ``x``; ``number`` is the same in all metrics."""

    number: int
    label: str
    points: list[Point]


@dataclass(frozen=True)
class Plot:
    """Points lie within `dcvsr.report.axes`' borders, and so do their error bars.

    Args:
        title: the metric, with an arrow to its better side.
        against: the key that was swept, or the cost.
        labels: of all series that could be in it, by their numbers from 1.
        x, y: of values -> places.
        note: the number of clips that means are over, where it is not all.
    """

    dataset: str
    metric: str
    title: str
    against: str
    labels: list[str]
    series: list[Series]
    x: Axis
    y: Axis
    note: str = ""

    @property
    def subject(self) -> str:
        return f"{self.against} ({self.dataset})"

    def at(self, point: Point) -> tuple[float, float]:
        return round(self.x.place(point.x), 1), round(self.y.place(point.y), 1)

    def bar(self, point: Point) -> tuple[float, float] | None:
        """The lower and the upper end of an error bar."""
        if point.spread is None:
            return None
        low, high = (self.y.place(point.y + sign * point.spread) for sign in (-1, 1))
        return round(low, 1), round(high, 1)

    def line(self, series: Series) -> str:
        """``x,y x,y ...``"""
        return " ".join(f"{x},{y}" for x, y in map(self.at, series.points))


def plots(runs: Sequence[Run]) -> list[Plot]:
    """Each metric against each numeric setting that was swept with all else alike, and against each cost."""
    found = []
    for of_clips in on_the_same_clips(runs):
        rows = by_label(of_clips)
        for against, lines in (_swept(rows) | _costs(rows)).items():
            for metric, higher in directions(of_clips).items():
                series = _series(rows, lines, metric)
                if sum(len(line.points) for line in series) > 1:
                    drawn = _plot(of_clips[0].dataset, metric, higher, against, list(lines), series)
                    found.append(replace(drawn, note=_note(rows, lines, metric)))
    return found


def _swept(rows: Rows) -> dict[str, Lines]:
    values = {label: _numbers(of_row[0]) for label, of_row in rows.items()}
    found = {}
    for key in dict.fromkeys(key for of_row in values.values() for key in of_row):
        lines = {
            shared: {label: values[label][key] for label in labels if key in values[label]}
            for shared, labels in families(rows, key).items()
        }
        swept = {shared: places for shared, places in lines.items() if len(set(places.values())) > 1}
        if swept:
            found[key] = swept
    return found


def _costs(rows: Rows) -> dict[str, Lines]:
    """Each row is a line of one point."""
    spent = {
        name: {label: fmean(map(cost, of_row)) for label, of_row in rows.items()}
        for name, cost in COSTS.items()
    }
    return {
        name: {label: {label: cost} for label, cost in of_rows.items()}
        for name, of_rows in spent.items()
        if len(set(of_rows.values())) > 1
    }


def _numbers(run: Run) -> dict[str, float]:
    """Those of its settings that are finite numbers."""
    found = {}
    for setting in run.settings:
        key, _, text = setting.partition("=")
        with suppress(ValueError):
            found[key] = float(text)
    return {key: value for key, value in found.items() if math.isfinite(value)}


def _series(rows: Rows, lines: Lines, metric: str) -> list[Series]:
    """On the clips where all that are plotted have a score; a row that has none is left out."""
    scored = scores(_plotted(rows, lines), metric)
    series = []
    for number, (shared, places) in enumerate(lines.items(), 1):
        points = [_point(x, scored[label]) for label, x in places.items() if scored[label]]
        series.append(Series(number, shared, sorted(points, key=lambda point: point.x)))
    return [line for line in series if line.points]


def _plotted(rows: Rows, lines: Lines) -> dict[str, Sequence[Run]]:
    return {label: rows[label] for places in lines.values() for label in places}


def _note(rows: Rows, lines: Lines, metric: str) -> str:
    kept, lacking = coverage(_plotted(rows, lines), metric)
    return f"{len(kept)} of {len(kept) + len(lacking)} clips" if lacking else ""


def _point(x: float, of_row: Scores) -> Point:
    return Point(x, mean(of_row), spread(of_row), len(next(iter(of_row.values()))))


def _plot(
    dataset: str, metric: str, higher: bool, against: str, labels: list[str], series: list[Series]
) -> Plot:
    points = [point for line in series for point in line.points]
    heights = [point.y + sign * (point.spread or 0) for point in points for sign in (-1, 1)]
    x, y = axis([point.x for point in points], LEFT, RIGHT), axis(heights, BOTTOM, TOP)
    return Plot(dataset, metric, heading(metric, higher), against, labels, series, x, y)

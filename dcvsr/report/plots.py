"""Metrics of runs against swept settings and against cost."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import fmean

from dcvsr.report.row_scores import coverage, directions, heading, scores
from dcvsr.report.runs import Run, by_label, families, on_the_same_clips
from dcvsr.report.statistics import Scores, mean, spread

Rows = Mapping[str, Sequence[Run]]
"""Label of a row -> its runs, one per seed."""

Lines = dict[str, dict[str, float]]
"""Label of a series -> label of a row -> its value on the x axis."""

COSTS: Mapping[str, Callable[[Run], float]] = {
    "U-Net evaluations": lambda run: run.evaluations,
    "seconds": lambda run: run.seconds,
}


@dataclass(frozen=True)
class Point:
    """One row.

    Args:
        x: swept value or cost.
        y: mean over clips.
        spread: standard deviation over seeds; None for one seed.
        seeds: number of seeds.
    """

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
    """One metric against one swept setting or cost.

    Args:
        title: the metric, with an arrow to its better side.
        against: the swept key or the cost.
        labels: labels of all series that could be in the plot, by their numbers from 1.
        note: number of clips that the means are over, where some clips are left out.
    """

    dataset: str
    metric: str
    title: str
    against: str
    labels: list[str]
    series: list[Series]
    note: str = ""

    @property
    def subject(self) -> str:
        """The x axis and the dataset, as a heading."""
        return f"{self.against} ({self.dataset})"

    @property
    def heights(self) -> list[float]:
        """Lower and upper ends of all error bars, or the points that have none."""
        points = [point for series in self.series for point in series.points]
        return [point.y + sign * (point.spread or 0) for point in points for sign in (-1, 1)]


def plots(runs: Sequence[Run]) -> list[Plot]:
    """Return each metric against each cost and each numeric setting in which otherwise equal runs differ."""
    found = []
    for of_clips in on_the_same_clips(runs):
        rows = by_label(of_clips)
        for against, lines in (_swept(rows) | _costs(rows)).items():
            for metric, higher in directions(of_clips).items():
                series = _series(rows, lines, metric)
                if sum(len(line.points) for line in series) > 1:
                    title, note = heading(metric, higher), _note(rows, lines, metric)
                    found.append(Plot(of_clips[0].dataset, metric, title, against, list(lines), series, note))
    return found


def _swept(rows: Rows) -> dict[str, Lines]:
    """Return the numeric settings in which otherwise equal rows differ."""
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
    """Return the costs in which rows differ; each row is a series of one point."""
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
    """Return the settings whose values are finite numbers."""
    found = {}
    for setting in run.settings:
        key, _, text = setting.partition("=")
        with suppress(ValueError):
            found[key] = float(text)
    return {key: value for key, value in found.items() if math.isfinite(value)}


def _series(rows: Rows, lines: Lines, metric: str) -> list[Series]:
    """Return the series on the clips that all plotted rows have scores on; rows without scores drop out."""
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

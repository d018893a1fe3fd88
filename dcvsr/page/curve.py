"""A training curve as coordinates of an SVG, so that a page can show one without a chart library."""

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from dcvsr.errors import UserError
from dcvsr.files import read_text

PLOTTED = ("train/loss", "val/lpips")
"""Columns of a training's metrics.csv that get a curve, where they hold numbers."""

LEFT, RIGHT, TOP, BOTTOM = 44, 344, 18, 180
"""Where the lines lie in report.html's SVG of 360 x 200 units; the numbers of the axes stand outside."""


@dataclass(frozen=True)
class Curve:
    """One curve: lines as ``x,y x,y ...``, ticks as (place, number)."""

    title: str
    raw: str
    mean: str
    end: tuple[float, float]  # of the mean
    last: str  # value of the mean
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]


def curves(label: str, folder: Path) -> list[Curve]:
    """Draw those of PLOTTED that a run folder of python -m dcvsr.train has logged.

    Raises:
        UserError: a folder without a metrics.csv of that command.
    """
    path = folder / "metrics.csv"
    rows = list(csv.DictReader(read_text(path).splitlines()))
    drawn: list[Curve] = []
    for column in PLOTTED:
        try:
            points = [(float(row["step"]), float(row[column])) for row in rows if row.get(column)]
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path} is not what python -m dcvsr.train writes: {error}") from error
        finite = [point for point in points if all(map(math.isfinite, point))]
        if finite:
            drawn.append(curve(f"{label}: {column}", finite))
    return drawn


def curve(title: str, points: Sequence[tuple[float, float]]) -> Curve:
    """Draw finite ``(step, value)`` and their running mean; by decades where the values span more than one.

    The mean is over a twentieth of the run: up to and with each point.
    """
    steps, values = zip(*points, strict=True)
    window = max(1, len(points) // 20)
    means = [fmean(values[max(0, i - window) : i]) for i in range(1, len(values) + 1)]
    by_decades = 0 < 10 * min(values) < max(values)
    scale, ticks = (math.log10, decade_ticks) if by_decades else (float, even_ticks)
    x = axis(min(steps), max(steps), LEFT, RIGHT)
    y = axis(scale(min(values)), scale(max(values)), BOTTOM, TOP)

    def line(heights: Sequence[float]) -> str:
        return " ".join(
            f"{x(step):.1f},{y(scale(height)):.1f}" for step, height in zip(steps, heights, strict=True)
        )

    return Curve(
        title=title,
        raw=line(values),
        mean=line(means),
        end=(x(steps[-1]), y(scale(means[-1]))),
        last=f"{means[-1]:.3g}",
        x_ticks=[(x(step), f"{step:g}") for step in even_ticks(min(steps), max(steps))],
        y_ticks=[(y(scale(value)), f"{value:.3g}") for value in ticks(min(values), max(values))],
    )


def axis(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """The linear map of ``low`` .. ``high`` onto ``start`` .. ``end``; a single value goes to the middle."""
    if low == high:
        return lambda value: (start + end) / 2
    return lambda value: start + (end - start) * (value - low) / (high - low)


def even_ticks(low: float, high: float) -> list[float]:
    """At most six multiples of 1, 2 or 5 times a power of ten within ``low`` .. ``high``."""
    if low == high:
        return [low]
    power = 10.0 ** math.floor(math.log10(high - low))
    step = next(step for k in (0.2, 0.5, 1, 2) if (high - low) / (step := k * power) <= 5)
    return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def decade_ticks(low: float, high: float) -> list[float]:
    """Powers of ten within ``low`` .. ``high``, with twice and five times each where these are few."""
    multiples = (1, 2, 5) if high / low < 100 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    return [tick for power in powers for k in multiples if low <= (tick := k * 10.0**power) <= high]

"""A training curve as coordinates of an SVG, so that a page can show one without a chart library."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from dcvsr.report.axes import BOTTOM, LEFT, RIGHT, TOP, axis, even_axis
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import read_text

PLOTTED = ("train/loss", "val/lpips")
"""Columns of a training's metrics.csv that get a curve, where they hold numbers."""


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
    x, y = even_axis(steps, LEFT, RIGHT), axis(values, BOTTOM, TOP)

    def line(heights: Sequence[float]) -> str:
        return " ".join(
            f"{x.place(step):.1f},{y.place(height):.1f}" for step, height in zip(steps, heights, strict=True)
        )

    return Curve(
        title=title,
        raw=line(values),
        mean=line(means),
        end=(x.place(steps[-1]), y.place(means[-1])),
        last=f"{means[-1]:.3g}",
        x_ticks=x.ticks,
        y_ticks=y.ticks,
    )

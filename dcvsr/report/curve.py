"""Training curves: logged values of a run and their running mean."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import read_text

PLOTTED = ("train/loss", "val/lpips")
"""Columns of a training's metrics.csv that get a curve where they hold numbers."""


@dataclass(frozen=True)
class Curve:
    """One curve.

    Args:
        steps: optimizer steps, in the order of the log.
        values: logged value of each step.
        means: mean of the values over a twentieth of the run, up to and including each step.
    """

    title: str
    steps: Sequence[float]
    values: Sequence[float]
    means: Sequence[float]

    @property
    def last(self) -> str:
        """The last mean, as text."""
        return f"{self.means[-1]:.3g}"


def curves(label: str, folder: Path) -> list[Curve]:
    """Read the curves of the columns PLOTTED from the run folder of a training.

    Raises:
        UserError: the folder has no metrics.csv as python -m dcvsr.train writes it.
    """
    path = folder / "metrics.csv"
    rows = list(csv.DictReader(read_text(path).splitlines()))
    found: list[Curve] = []
    for column in PLOTTED:
        try:
            points = [(float(row["step"]), float(row[column])) for row in rows if row.get(column)]
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path} is not a log of python -m dcvsr.train: {error}") from error
        finite = [point for point in points if all(map(math.isfinite, point))]
        if finite:
            found.append(curve(f"{label}: {column}", finite))
    return found


def curve(title: str, points: Sequence[tuple[float, float]]) -> Curve:
    """Return the curve of finite ``(step, value)`` with its running mean."""
    steps, values = zip(*points, strict=True)
    window = max(1, len(points) // 20)
    means = [fmean(values[max(0, i - window) : i]) for i in range(1, len(values) + 1)]
    return Curve(title, steps, values, means)

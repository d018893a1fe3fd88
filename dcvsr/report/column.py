"""Columns of a score table: the means of a metric and the tests of their differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from dcvsr.evaluation.paper_tables import Paper
from dcvsr.report.row_scores import coverage, scores
from dcvsr.report.runs import Run
from dcvsr.report.statistics import LEVEL, PairedDifference, difference, holm, mean, spread

NOISE = "within noise"
MARK = "*"
"""Mark of a difference that is significant after correction for all comparisons of its table."""

TRAINED = "†"
"""Mark of a score that was a loss of the row's training."""

UNKNOWN = "-"


@dataclass(frozen=True)
class Cell:
    """Score of a row in a metric.

    Args:
        text: the mean and its spread over seeds.
        paper: the paper's value.
        difference: difference of the reference to this row, with its interval.
        rank: 1 and 2 for the best and the second best printed values.
        p: p-value of the difference, Holm-corrected over the table; None if it was not tested.
        is_loss: whether the metric was a loss of the row's training.
    """

    text: str = UNKNOWN
    paper: str = ""
    difference: str = ""
    rank: int = 0
    p: float | None = None
    is_loss: bool = False

    @property
    def shown(self) -> str:
        """The text, marked if the score was a loss."""
        return self.text + TRAINED * self.is_loss


@dataclass(frozen=True)
class Column:
    """One metric of a table.

    Args:
        means: label -> mean over clips, for rows that have one.
        spreads: label -> standard deviation over seeds, None for one seed.
        differences: label -> difference of the reference to it.
        higher_is_better: None if no run records it.
        clips: clips of the means: those with a score for every seed of every row that has the metric.
        lacking: clips that the means leave out.
        trained: labels of rows whose training had the metric as a loss.
    """

    metric: str
    means: Mapping[str, float]
    spreads: Mapping[str, float | None]
    differences: Mapping[str, PairedDifference]
    higher_is_better: bool | None
    clips: list[str]
    lacking: list[str]
    trained: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, metric: str, rows: Mapping[str, list[Run]], higher_is_better: bool | None, base: str | None
    ) -> "Column":
        """Compute the column of ``metric`` and the differences of ``base`` to the other rows."""
        scored = {label: of_row for label, of_row in scores(rows, metric).items() if of_row}
        compared = [label for label in scored if label != base] if base in scored else []
        kept, lacking = coverage(rows, metric)
        return cls(
            metric,
            {label: mean(of_row) for label, of_row in scored.items()},
            {label: spread(of_row) for label, of_row in scored.items()},
            {label: difference(scored[base], scored[label]) for label in compared if base is not None},
            higher_is_better,
            kept,
            lacking,
            frozenset(label for label in rows if any(metric in run.weights.losses for run in rows[label])),
        )

    @property
    def digits(self) -> int:
        """Decimal places of the printed means."""
        return 2 if max(map(abs, self.means.values()), default=0) >= 10 else 4

    def cells(
        self, labels: Sequence[str], corrected: Mapping[str, float], paper: Paper | None, dataset: str
    ) -> list[Cell]:
        """Return one cell per label; ``corrected`` maps a label to the p-value of its difference."""
        printed = {label: round(value, self.digits) for label, value in self.means.items()}
        ranks = sorted(set(printed.values()), reverse=self.higher_is_better is not False)
        found = []
        for label in labels:
            cell = Cell(paper=_published(paper, dataset, self.metric, label))
            if label in printed:
                rank = ranks.index(printed[label]) + 1 if len(printed) > 1 else 0
                cell = replace(cell, text=self._text(label), rank=rank if rank < 3 else 0)
                cell = replace(cell, is_loss=label in self.trained)
            if label in self.differences:
                p = corrected.get(label)
                cell = replace(cell, difference=_shown(self.differences[label], p, self.digits), p=p)
            found.append(cell)
        return found

    def over_trainings(self, labels: Sequence[str]) -> Cell:
        """Return a cell with mean and standard deviation over rows of different training runs."""
        if not all(label in self.means for label in labels):
            return Cell()
        means = [self.means[label] for label in labels]
        return Cell(f"{fmean(means):.{self.digits}f} ± {stdev(means):.{self.digits}f}")

    def _text(self, label: str) -> str:
        over_seeds = self.spreads[label]
        shown = f"{self.means[label]:.{self.digits}f}"
        return shown if over_seeds is None else f"{shown} ± {over_seeds:.{self.digits}f}"


def corrected(columns: Sequence[Mapping[str, PairedDifference]]) -> list[dict[str, float]]:
    """Correct the p-values of all columns together; return one dictionary by label per column."""
    tested = [
        (i, label, found.p)
        for i, of_column in enumerate(columns)
        for label, found in of_column.items()
        if found.p is not None
    ]
    by_column: list[dict[str, float]] = [{} for _ in columns]
    for (i, label, _), p in zip(tested, holm([p for *_, p in tested]), strict=True):
        by_column[i][label] = p
    return by_column


def _published(paper: Paper | None, dataset: str, metric: str, label: str) -> str:
    row = paper.row(label) if paper else None
    value = paper.value(dataset, metric, row) if paper and row else None
    return "" if value is None else f"{value:g}"


def _shown(found: PairedDifference, p: float | None, digits: int) -> str:
    """Format a difference, its interval and the result of the corrected test."""
    shown = f"{found.mean:+.{digits}f}"
    if found.interval is None or p is None:
        return f"{shown} (too few clips: {found.clips})"
    low, high = found.interval
    return f"{shown} [{low:+.{digits}f}, {high:+.{digits}f}] {MARK if p <= LEVEL else NOISE}"

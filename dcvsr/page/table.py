"""Tables of scores: rows of upscalers and settings, columns of metrics, the paper's values beside ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev

from dcvsr.page.runs import Run, by_label, on_the_same_clips, without_weights
from dcvsr.page.scores import coverage, directions, heading, scores
from dcvsr.page.statistics import FEWEST, LEVEL, Difference, difference, holm, mean, spread

NOISE = "within noise"
MARK = "*"
"""Follows a difference that stands after the correction for all comparisons of its table."""

UNKNOWN = "-"


@dataclass(frozen=True)
class Paper:
    """One of the paper's tables: data set -> metric -> value by row.

    Args:
        title, rows, columns: in its order.
        values: of each data set.
        condition: on which a run's data set has one of these names.
    """

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Mapping[str, Mapping[str, Sequence[float]]]
    condition: str = "data.name=... says so"

    def row(self, label: str) -> str | None:
        """The row that a label stands for: ``dcvsr +table2=sap`` is ``sap``, whatever its weights."""
        named = without_weights(label)
        return next((row for row in self.rows if named == row or named.endswith(f"={row}")), None)

    def note(self, dataset: str) -> str:
        """Why no value of the paper's is shown, where none is."""
        known = ", ".join(self.values)
        return "" if dataset in self.values else f"The paper's values are of {known}: {self.condition}."

    def value(self, dataset: str, metric: str, row: str) -> float | None:
        column = self.values.get(dataset, {}).get(metric)
        return None if column is None else column[list(self.rows).index(row)]


@dataclass(frozen=True)
class Cell:
    """Score of a row in a metric.

    Args:
        text: the mean, and its spread over seeds.
        paper: the paper's value.
        difference: of the reference to this row, with its interval.
        rank: 1 and 2 for the best and the second, as far as they print.
        p: p-value of the difference, corrected by Holm over the table; None where it was not tested.
    """

    text: str = UNKNOWN
    paper: str = ""
    difference: str = ""
    rank: int = 0
    p: float | None = None


@dataclass(frozen=True)
class Row:
    label: str
    cells: list[Cell]
    seeds: int = 0
    evaluations: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Table:
    """Means over the same clips.

    Args:
        reference: the row that differences are of, minus each other.
        note: sentences on what is in it, if any.
        averaged: for each column the number of clips that its means are over.
        trainings: rows of mean and standard deviation over training seeds, each training averaged over clips
            and sampling seeds; `Row.seeds` is the number of trainings.
    """

    title: str
    dataset: str
    clips: tuple[str, ...]
    columns: list[str]
    rows: list[Row]
    reference: str | None
    note: str = ""
    averaged: list[int] = field(default_factory=list)
    trainings: list[Row] = field(default_factory=list)

    @property
    def legend(self) -> str:
        """Explain the differences: what was tested, and in how many comparisons."""
        tested = sum(cell.p is not None for row in self.rows for cell in row.cells)
        untested = f"Differences over fewer than {FEWEST} clips are not tested."
        first = f"{self.reference} minus each other row, paired clip by clip, seeds averaged within a clip."
        if not tested:
            return f"{first} {untested}"
        return (
            f"{first} In brackets is the 95 % interval of a paired t-test over clips, each for itself. "
            f"{MARK} marks a difference from zero that stands after Holm's correction for the {tested} "
            f"comparison{'s' if tested > 1 else ''} of this table (family-wise error rate {LEVEL:.0%}). "
            f"Every other is {NOISE}. {untested}"
        )


def tables(runs: Sequence[Run], paper: Paper | None = None, reference: str = "dcvsr") -> list[Table]:
    """Tabulate runs, those of one setting and different seeds as one row.

    One table for each set of clips, because means over different clips do not compare.
    """
    return [table(by_label(of_clips), paper, reference) for of_clips in on_the_same_clips(runs)]


def table(rows: Mapping[str, list[Run]], paper: Paper | None = None, reference: str = "dcvsr") -> Table:
    """Tabulate runs on the same clips, by label; all differences of the table are one family of tests."""
    runs = [run for of_row in rows.values() for run in of_row]
    labels, better = _in_order(list(rows), paper), directions(runs)
    metrics = list(better)
    if paper is not None:
        metrics = [*paper.columns, *(metric for metric in metrics if metric not in paper.columns)]
    dataset, base = runs[0].dataset, reference if reference in rows else None
    columns = [Column.of(metric, rows, better.get(metric), base) for metric in metrics]
    corrected = _corrected([column.differences for column in columns])
    cells = [
        column.cells(labels, of_column, paper, dataset)
        for column, of_column in zip(columns, corrected, strict=True)
    ]
    table_rows = [_row(label, rows.get(label, []), [of[i] for of in cells]) for i, label in enumerate(labels)]
    titles = [heading(metric, better.get(metric)) for metric in metrics]
    title, note = (paper.title, paper.note(dataset)) if paper else ("Metrics", "")
    clips = tuple(sorted(runs[0].scores))
    notes = [note, *_of_fewer_clips(columns, clips), *_conflicts(rows), *_ambiguous(rows, reference)]
    return Table(
        title,
        dataset,
        clips,
        titles,
        table_rows,
        base,
        " ".join(filter(None, notes)),
        [len(column.clips) for column in columns],
        _trainings(rows, columns),
    )


@dataclass(frozen=True)
class Column:
    """One metric of a table.

    Args:
        means: label -> mean over clips, of the rows that have one.
        spreads: label -> standard deviation over seeds, None for one seed.
        differences: label -> of the reference to it.
        higher_is_better: None where no run tells.
        clips: that means are over: those with a score for every seed of every row that has the metric.
        lacking: clips that others are averaged without.
    """

    metric: str
    means: Mapping[str, float]
    spreads: Mapping[str, float | None]
    differences: Mapping[str, Difference]
    higher_is_better: bool | None
    clips: list[str]
    lacking: list[str]

    @classmethod
    def of(
        cls, metric: str, rows: Mapping[str, list[Run]], higher_is_better: bool | None, base: str | None
    ) -> "Column":
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
        )

    @property
    def digits(self) -> int:
        return 2 if max(map(abs, self.means.values()), default=0) >= 10 else 4

    def cells(
        self, labels: Sequence[str], corrected: Mapping[str, float], paper: Paper | None, dataset: str
    ) -> list[Cell]:
        """One for each label; ``corrected``: label -> p-value of its difference."""
        printed = {label: round(value, self.digits) for label, value in self.means.items()}
        ranks = sorted(set(printed.values()), reverse=self.higher_is_better is not False)
        found = []
        for label in labels:
            cell = Cell(paper=_published(paper, dataset, self.metric, label))
            if label in printed:
                rank = ranks.index(printed[label]) + 1 if len(printed) > 1 else 0
                cell = replace(cell, text=self._text(label), rank=rank if rank < 3 else 0)
            if label in self.differences:
                p = corrected.get(label)
                cell = replace(cell, difference=_shown(self.differences[label], p, self.digits), p=p)
            found.append(cell)
        return found

    def over_trainings(self, labels: Sequence[str]) -> Cell:
        """Mean and standard deviation over rows that are one training each."""
        if not all(label in self.means for label in labels):
            return Cell()
        means = [self.means[label] for label in labels]
        return Cell(f"{fmean(means):.{self.digits}f} ± {stdev(means):.{self.digits}f}")

    def _text(self, label: str) -> str:
        over_seeds = self.spreads[label]
        shown = f"{self.means[label]:.{self.digits}f}"
        return shown if over_seeds is None else f"{shown} ± {over_seeds:.{self.digits}f}"


def _of_fewer_clips(columns: Sequence[Column], clips: Sequence[str]) -> list[str]:
    """A sentence on each column whose means are not over all clips of the table."""
    return [
        f"{heading(column.metric, None)} averages {len(column.clips)} of {len(clips)} clips: "
        f"some row has no score on {', '.join(column.lacking)}."
        for column in columns
        if column.lacking
    ]


def _conflicts(rows: Mapping[str, Sequence[Run]]) -> list[str]:
    """A sentence on each run that others repeat with other scores."""
    return [
        f"{label}, seed {run.seed}: {', '.join(map(str, run.conflicts))} has the same settings, weights and "
        f"seed and other scores; {run.folder} alone counts."
        for label, of_row in rows.items()
        for run in of_row
        if run.conflicts
    ]


def _ambiguous(rows: Mapping[str, Sequence[Run]], reference: str) -> list[str]:
    """A sentence where ``reference`` names several rows, of one weights each, and so none is compared."""
    named = [label for label in rows if label != reference and without_weights(label) == reference]
    choice = " or ".join(f"'{label}'" for label in named)
    return [f"{reference} is {len(named)} rows here, so none is compared: set reference={choice}."] * bool(
        named
    )


def _trainings(rows: Mapping[str, Sequence[Run]], columns: Sequence[Column]) -> list[Row]:
    """Rows that differ in the seed of their training alone, together; none for a single training."""
    groups: dict[tuple[str, str], list[str]] = {}
    for label, of_row in rows.items():
        if of_row and (recipe := of_row[0].weights.recipe):
            groups.setdefault((without_weights(label), recipe), []).append(label)
    return [
        Row(label, [column.over_trainings(labels) for column in columns], len(labels))
        for (label, _), labels in groups.items()
        if len(labels) > 1
    ]


def _corrected(columns: Sequence[Mapping[str, Difference]]) -> list[dict[str, float]]:
    """p-values by label, a dictionary for each column, corrected over all columns together."""
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


def _row(label: str, runs: Sequence[Run], cells: list[Cell]) -> Row:
    """Cost is that of the first seed."""
    if not runs:
        return Row(label, cells)
    return Row(label, cells, len(runs), runs[0].evaluations, runs[0].seconds)


def _in_order(labels: list[str], paper: Paper | None) -> list[str]:
    """The paper's rows, ours where there are, and then what it has not."""
    if paper is None:
        return labels
    found = {paper.row(label): label for label in reversed(labels)}
    ordered = [found.get(row, row) for row in paper.rows]
    return [*ordered, *(label for label in labels if label not in ordered)]


def _published(paper: Paper | None, dataset: str, metric: str, label: str) -> str:
    row = paper.row(label) if paper else None
    value = paper.value(dataset, metric, row) if paper and row else None
    return "" if value is None else f"{value:g}"


def _shown(found: Difference, p: float | None, digits: int) -> str:
    """The difference, its interval and what the corrected test says of it."""
    shown = f"{found.mean:+.{digits}f}"
    if found.interval is None or p is None:
        return f"{shown} (too few clips: {found.clips})"
    low, high = found.interval
    return f"{shown} [{low:+.{digits}f}, {high:+.{digits}f}] {MARK if p <= LEVEL else NOISE}"

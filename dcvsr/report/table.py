"""Tables of scores: rows of upscalers and settings, columns of metrics, the paper's values beside ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dcvsr.evaluation.paper_tables import Paper, without_weights
from dcvsr.report.column import MARK, NOISE, TRAINED, Cell, Column, corrected
from dcvsr.report.row_scores import directions, heading
from dcvsr.report.runs import Run, by_label, on_the_same_clips
from dcvsr.report.statistics import FEWEST, LEVEL


@dataclass(frozen=True)
class TableRow:
    """Row of a table: cells, number of seeds, and cost."""

    label: str
    cells: list[Cell]
    seeds: int = 0
    evaluations: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Table:
    """Table of means over the same clips.

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
    rows: list[TableRow]
    reference: str | None
    note: str = ""
    averaged: list[int] = field(default_factory=list)
    trainings: list[TableRow] = field(default_factory=list)

    @property
    def legend(self) -> str:
        """Explain the tests of the differences and the number of comparisons."""
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
    """Tabulate runs; runs of one setting and different seeds form one row.

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
    p = corrected([column.differences for column in columns])
    cells = [
        column.cells(labels, of_column, paper, dataset) for column, of_column in zip(columns, p, strict=True)
    ]
    table_rows = [_row(label, rows.get(label, []), [of[i] for of in cells]) for i, label in enumerate(labels)]
    titles = [heading(metric, better.get(metric)) for metric in metrics]
    title, note = (paper.title, paper.note(dataset)) if paper else ("Metrics", "")
    clips = tuple(sorted(runs[0].scores))
    trained = f"{TRAINED} was a loss of the row's training: a gain there alone says little."
    notes = [
        note,
        trained * any(column.trained for column in columns),
        *_of_fewer_clips(columns, clips),
        *_conflicts(rows),
        *_ambiguous(rows, reference),
    ]
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


def _of_fewer_clips(columns: Sequence[Column], clips: Sequence[str]) -> list[str]:
    """Return a sentence on each column whose means leave out clips of the table."""
    return [
        f"{heading(column.metric, None)} averages {len(column.clips)} of {len(clips)} clips: "
        f"some row has no score on {', '.join(column.lacking)}."
        for column in columns
        if column.lacking
    ]


def _conflicts(rows: Mapping[str, Sequence[Run]]) -> list[str]:
    """Return a sentence on each run that was repeated with different scores."""
    return [
        f"{label}, seed {run.seed}: {', '.join(map(str, run.conflicts))} has the same settings, weights and "
        f"seed and other scores; {run.folder} alone counts."
        for label, of_row in rows.items()
        for run in of_row
        if run.conflicts
    ]


def _ambiguous(rows: Mapping[str, Sequence[Run]], reference: str) -> list[str]:
    """Return a sentence if ``reference`` matches several rows with different weights and none is compared."""
    named = [label for label in rows if label != reference and without_weights(label) == reference]
    choice = " or ".join(f"'{label}'" for label in named)
    return [f"{reference} is {len(named)} rows here, so none is compared: set reference={choice}."] * bool(
        named
    )


def _trainings(rows: Mapping[str, Sequence[Run]], columns: Sequence[Column]) -> list[TableRow]:
    """Group rows that differ only in their training seed; single trainings are left out."""
    groups: dict[tuple[str, str], list[str]] = {}
    for label, of_row in rows.items():
        if of_row and (recipe := of_row[0].weights.recipe):
            groups.setdefault((without_weights(label), recipe), []).append(label)
    return [
        TableRow(label, [column.over_trainings(labels) for column in columns], len(labels))
        for (label, _), labels in groups.items()
        if len(labels) > 1
    ]


def _row(label: str, runs: Sequence[Run], cells: list[Cell]) -> TableRow:
    """Return a row; its cost is that of the first seed."""
    if not runs:
        return TableRow(label, cells)
    return TableRow(label, cells, len(runs), runs[0].evaluations, runs[0].seconds)


def _in_order(labels: list[str], paper: Paper | None) -> list[str]:
    """Order labels: the paper's rows first, then all others."""
    if paper is None:
        return labels
    found = {paper.row(label): label for label in reversed(labels)}
    ordered = [found.get(row, row) for row in paper.rows]
    return [*ordered, *(label for label in labels if label not in ordered)]

"""Tables of scores: rows of upscalers and settings, columns of metrics, the paper's values beside ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dcvsr.page.runs import Run, by_label, on_the_same_clips
from dcvsr.page.scores import directions, heading, scores
from dcvsr.page.statistics import Scores, interval, is_noise, mean, spread

NOISE = "within noise"
UNKNOWN = "-"


@dataclass(frozen=True)
class Paper:
    """One of the paper's tables: data set -> metric -> value by row.

    Args:
        title, rows, columns: in its order.
        values: of each data set.
    """

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Mapping[str, Mapping[str, Sequence[float]]]

    def row(self, label: str) -> str | None:
        """The row that a label stands for: ``dcvsr +table2=sap`` is ``sap``."""
        return next((row for row in self.rows if label == row or label.endswith(f"={row}")), None)

    def note(self, dataset: str) -> str:
        """Why no value of the paper's is shown, where none is."""
        known = ", ".join(self.values)
        return "" if dataset in self.values else f"The paper's values are of {known}: data.name=... says so."

    def value(self, dataset: str, metric: str, row: str) -> float | None:
        column = self.values.get(dataset, {}).get(metric)
        return None if column is None else column[list(self.rows).index(row)]


@dataclass(frozen=True)
class Cell:
    """What a row scores in a metric; ``rank`` 1 and 2 are the best and the second, as far as they print."""

    text: str = UNKNOWN
    paper: str = ""
    difference: str = ""
    rank: int = 0


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
        note: a sentence on what is in it, if any.
    """

    title: str
    dataset: str
    clips: tuple[str, ...]
    columns: list[str]
    rows: list[Row]
    reference: str | None
    note: str = ""


def tables(runs: Sequence[Run], paper: Paper | None = None, reference: str = "dcvsr") -> list[Table]:
    """Tabulate runs, those of one setting and different seeds as one row.

    One table for each set of clips, because means over different clips do not compare.
    """
    return [table(by_label(of_clips), paper, reference) for of_clips in on_the_same_clips(runs)]


def table(rows: Mapping[str, list[Run]], paper: Paper | None = None, reference: str = "dcvsr") -> Table:
    """Of runs on the same clips, by label."""
    runs = [run for of_row in rows.values() for run in of_row]
    labels, better = _in_order(list(rows), paper), directions(runs)
    metrics = list(better)
    if paper is not None:
        metrics = [*paper.columns, *(metric for metric in metrics if metric not in paper.columns)]
    dataset, base = runs[0].dataset, reference if reference in rows else None
    columns = [_column(metric, labels, rows, better, base, paper, dataset) for metric in metrics]
    table_rows = [
        _row(label, rows.get(label, []), [column[i] for column in columns]) for i, label in enumerate(labels)
    ]
    titles = [heading(metric, better.get(metric)) for metric in metrics]
    title, note = (paper.title, paper.note(dataset)) if paper else ("Metrics", "")
    return Table(title, dataset, tuple(sorted(runs[0].scores)), titles, table_rows, base, note)


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


def _column(
    metric: str,
    labels: list[str],
    rows: Mapping[str, list[Run]],
    better: Mapping[str, bool],
    base: str | None,
    paper: Paper | None,
    dataset: str,
) -> list[Cell]:
    scored = scores(rows, metric)
    known = {label: mean(of_row) for label, of_row in scored.items() if of_row}
    digits = 2 if max(map(abs, known.values()), default=0) >= 10 else 4
    printed = {label: round(value, digits) for label, value in known.items()}
    ranks = sorted(set(printed.values()), reverse=better.get(metric, True))
    cells = []
    for label in labels:
        row = paper.row(label) if paper else None
        published = paper.value(dataset, metric, row) if paper and row else None
        cell = {"paper": "" if published is None else f"{published:g}"}
        if label in known:
            cell["text"] = _text(known[label], spread(scored[label]), digits)
            if base and label != base and base in known:
                cell["difference"] = _difference(scored[base], scored[label], digits)
        rank = ranks.index(printed[label]) + 1 if label in known and len(known) > 1 else 0
        cells.append(Cell(**cell, rank=rank if rank < 3 else 0))
    return cells


def _text(value: float, spread: float | None, digits: int) -> str:
    return f"{value:.{digits}f}" + (f" ± {spread:.{digits}f}" if spread is not None else "")


def _difference(ours: Scores, theirs: Scores, digits: int) -> str:
    """With its interval; one or two clips have none, whatever the number of their seeds."""
    difference = f"{mean(ours) - mean(theirs):+.{digits}f}"
    if few := {1: "one clip", 2: "two clips"}.get(len(ours)):
        return f"{difference} ({few})"
    low, high = bounds = interval(ours, theirs)
    return NOISE if is_noise(bounds) else f"{difference} [{low:+.{digits}f}, {high:+.{digits}f}]"

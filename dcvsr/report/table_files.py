"""Tables of scores as Markdown, LaTeX and CSV; plots as CSV."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import replace

from dcvsr.report.column import MARK, Cell
from dcvsr.report.plots import Plot
from dcvsr.report.table import Table, TableRow

LATEX = str.maketrans(
    {c: f"\\{c}" for c in "_&%#${}"}
    | {"↑": r"$\uparrow$", "↓": r"$\downarrow$", "±": r"$\pm$", "†": r"$\dagger$"}
)

OVER_TRAININGS = "Mean ± standard deviation over training seeds, each averaged over clips and sampling seeds."


def markdown(tables: Sequence[Table]) -> str:
    """Format tables as Markdown: best bold, second in italics, the paper's values in parentheses."""
    parts = (part for table in tables for part in (_scores(table), _differences(table), _trainings(table)))
    return "\n".join(filter(None, parts))


def latex(tables: Sequence[Table]) -> str:
    """Format tables as LaTeX ``tabular``: best bold, second underlined, as in the paper."""

    def cell(cell: Cell) -> str:
        text = cell.shown.translate(LATEX)
        marked = {1: rf"\textbf{{{text}}}", 2: rf"\underline{{{text}}}"}.get(cell.rank, text)
        return marked + (f" ({cell.paper})" if cell.paper else "")

    parts = []
    for table in tables:
        head = " & ".join(["", *(title.translate(LATEX) for title in table.columns)])
        rows, trainings = (
            [" & ".join([row.label.translate(LATEX), *map(cell, row.cells)]) + r" \\" for row in some]
            for some in (table.rows, table.trainings)
        )
        if trainings:
            rows += [r"\midrule", f"% {OVER_TRAININGS}", *trainings]
        notes = [f"% {table.note}"] if table.note else []
        lines = [
            f"% {table.title} ({table.dataset})",
            *notes,
            rf"\begin{{tabular}}{{l{'c' * len(table.columns)}}}",
            r"\toprule",
            head + r" \\",
            r"\midrule",
        ]
        parts.append("\n".join([*lines, *rows, r"\bottomrule", r"\end{tabular}", ""]))
    return "\n".join(parts)


def comma_separated(tables: Sequence[Table]) -> str:
    """Format tables as CSV with one line per cell."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ["dataset", "row", "metric", "ours", "paper", "difference", "p (Holm)", "clips", "seeds", "a loss"]
    )
    for table in tables:
        trainings = [replace(row, label=f"{row.label} over {row.seeds} trainings") for row in table.trainings]
        for row in [*table.rows, *trainings]:
            for title, clips, cell in zip(table.columns, table.averaged, row.cells, strict=True):
                metric = title[:-2] if title[-1] in "↑↓" else title
                p = "" if cell.p is None else f"{cell.p:.3g}"
                shown = [cell.text, cell.paper, cell.difference, p, clips, row.seeds, "yes" * cell.is_loss]
                writer.writerow([table.dataset, row.label, metric, *shown])
    return file.getvalue()


def points(plots: Sequence[Plot]) -> str:
    """Format plots as CSV with one line per point."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["dataset", "metric", "against", "row", "x", "y", "spread", "seeds"])
    for plot in plots:
        for series in plot.series:
            for point in series.points:
                spread = "" if point.spread is None else f"{point.spread:.6g}"
                shown = [f"{point.x:.6g}", f"{point.y:.6g}", spread, point.seeds]
                writer.writerow([plot.dataset, plot.metric, plot.against, series.label, *shown])
    return file.getvalue()


def _scores(table: Table) -> str:
    def cell(cell: Cell) -> str:
        marked = {1: f"**{cell.shown}**", 2: f"*{cell.shown}*"}.get(cell.rank, cell.shown)
        return marked + (f" ({cell.paper})" if cell.paper else "")

    def cost(row: TableRow) -> list[str]:
        seconds = "" if row.seconds is None else f"{row.seconds:.0f}"
        return [str(row.seeds or ""), "" if row.evaluations is None else str(row.evaluations), seconds]

    caption = f"{table.title}: means over {', '.join(table.clips)} ({table.dataset}); ± over sampling seeds."
    return _grid(
        " ".join(filter(None, [caption, table.note])),
        [*table.columns, "seeds", "evaluations", "s"],
        table.rows,
        lambda row: [*map(cell, row.cells), *cost(row)],
    )


def _differences(table: Table) -> str:
    rows = [row for row in table.rows if any(cell.difference for cell in row.cells)]
    if not rows:
        return ""
    return _grid(
        table.legend.replace(MARK, rf"\{MARK}"),
        table.columns,
        rows,
        lambda row: [cell.difference.replace(MARK, rf"\{MARK}") for cell in row.cells],
    )


def _trainings(table: Table) -> str:
    if not table.trainings:
        return ""
    return _grid(
        OVER_TRAININGS,
        [*table.columns, "trainings"],
        table.trainings,
        lambda row: [*(cell.text for cell in row.cells), str(row.seeds)],
    )


def _grid(
    caption: str, heads: Sequence[str], rows: Sequence[TableRow], cells: Callable[[TableRow], list[str]]
) -> str:
    lines = [["", *heads], ["---"] * (len(heads) + 1), *([row.label, *cells(row)] for row in rows)]
    return f"{caption}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)

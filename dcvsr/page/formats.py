"""Tables of scores as Markdown, LaTeX and CSV; plots as CSV."""

import csv
import io
from collections.abc import Callable, Sequence

from dcvsr.page.plots import Plot
from dcvsr.page.table import MARK, Cell, Row, Table

LATEX = str.maketrans(
    {c: f"\\{c}" for c in "_&%#${}"} | {"↑": r"$\uparrow$", "↓": r"$\downarrow$", "±": r"$\pm$"}
)


def markdown(tables: Sequence[Table]) -> str:
    """Best bold, second in italics, the paper's values in parentheses; below it, differences."""
    return "\n".join(part for table in tables for part in (_scores(table), _differences(table)) if part)


def latex(tables: Sequence[Table]) -> str:
    """A ``tabular`` each: best bold, second underlined, as the paper has them."""

    def cell(cell: Cell) -> str:
        text = cell.text.translate(LATEX)
        marked = {1: rf"\textbf{{{text}}}", 2: rf"\underline{{{text}}}"}.get(cell.rank, text)
        return marked + (f" ({cell.paper})" if cell.paper else "")

    parts = []
    for table in tables:
        head = " & ".join(["", *(title.translate(LATEX) for title in table.columns)])
        rows = [
            " & ".join([row.label.translate(LATEX), *map(cell, row.cells)]) + r" \\" for row in table.rows
        ]
        lines = [
            f"% {table.title} ({table.dataset})",
            rf"\begin{{tabular}}{{l{'c' * len(table.columns)}}}",
            r"\toprule",
            head + r" \\",
            r"\midrule",
        ]
        parts.append("\n".join([*lines, *rows, r"\bottomrule", r"\end{tabular}", ""]))
    return "\n".join(parts)


def comma_separated(tables: Sequence[Table]) -> str:
    """A line each cell."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["dataset", "row", "metric", "ours", "paper", "difference", "p (Holm)", "seeds"])
    for table in tables:
        for row in table.rows:
            for title, cell in zip(table.columns, row.cells, strict=True):
                p = "" if cell.p is None else f"{cell.p:.3g}"
                shown = [cell.text, cell.paper, cell.difference, p]
                writer.writerow(
                    [table.dataset, row.label, title[:-2] if title[-1] in "↑↓" else title, *shown, row.seeds]
                )
    return file.getvalue()


def points(plots: Sequence[Plot]) -> str:
    """A line each point."""
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
        marked = {1: f"**{cell.text}**", 2: f"*{cell.text}*"}.get(cell.rank, cell.text)
        return marked + (f" ({cell.paper})" if cell.paper else "")

    def cost(row: Row) -> list[str]:
        seconds = "" if row.seconds is None else f"{row.seconds:.0f}"
        return [str(row.seeds or ""), "" if row.evaluations is None else str(row.evaluations), seconds]

    caption = f"{table.title}: means over {', '.join(table.clips)} ({table.dataset}); ± over seeds."
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


def _grid(caption: str, heads: Sequence[str], rows: Sequence[Row], cells: Callable[[Row], list[str]]) -> str:
    lines = [["", *heads], ["---"] * (len(heads) + 1), *([row.label, *cells(row)] for row in rows)]
    return f"{caption}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)

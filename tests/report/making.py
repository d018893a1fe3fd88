"""Runs as an evaluation would have left them."""

from collections.abc import Sequence

from dcvsr.report.column import Cell
from dcvsr.report.runs import Run, Weights
from dcvsr.report.table import Table


def run(
    upscaler: str,
    seed: int = 0,
    dataset: str = "X",
    settings: tuple[str, ...] = (),
    evaluations: int = 8,
    weights: Weights = Weights(),  # noqa: B008
    **scores: Sequence[float | None],
) -> Run:
    """``scores``: metric -> a value a clip."""
    clips = len(next(iter(scores.values())))
    of_clips = {f"clip{i}": {name: values[i] for name, values in scores.items()} for i in range(clips)}
    better = {name: name == "psnr" for name in scores}
    return Run(upscaler, seed, dataset, of_clips, better, settings, evaluations, 1.5, weights=weights)


def cells(table: Table, label: str) -> dict[str, Cell]:
    [row] = [row for row in table.rows if row.label == label]
    return {title[:5].strip(" ↑↓"): cell for title, cell in zip(table.columns, row.cells, strict=True)}

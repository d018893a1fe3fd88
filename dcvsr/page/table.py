"""Tables of metrics."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dcvsr.errors import UserError
from dcvsr.files import read_json


@dataclass(frozen=True)
class Column:
    """One metric: its mean over a dataset's clips, by the label of the evaluation."""

    metric: str
    higher_is_better: bool
    means: dict[str, float]

    def text(self, label: str) -> str:
        if label not in self.means:
            return "-"
        digits = 2 if max(map(abs, self.means.values())) >= 10 else 4
        return f"{self.means[label]:.{digits}f}"

    def is_best(self, label: str) -> bool:
        """Whether ``label`` reads like the best of several: what prints alike is equally good."""
        if label not in self.means or len(self.means) == 1:
            return False
        best = (max if self.higher_is_better else min)(self.means, key=self.means.__getitem__)
        return self.text(label) == self.text(best)


@dataclass(frozen=True)
class Table:
    """Evaluations (rows) of the same clips by metric (columns)."""

    dataset: str
    clips: tuple[str, ...]
    rows: list[str]
    columns: dict[str, Column]


def tables(evaluations: Mapping[str, Path]) -> list[Table]:
    """Tabulate run folders of python -m dcvsr.evaluate, by the label of their row.

    One table for each set of clips, because means over different clips do not compare.

    Raises:
        UserError: a folder without a summary.json of that command.
    """
    by_clips: dict[tuple[str, ...], Table] = {}
    for label, folder in evaluations.items():
        summary = read_json(folder / "summary.json")
        try:
            dataset, clips = summary["dataset"], tuple(sorted(summary["clips"]))
            table = by_clips.setdefault((dataset, *clips), Table(dataset, clips, [], {}))
            table.rows.append(label)
            for metric, score in summary["metrics"].items():
                column = table.columns.setdefault(metric, Column(metric, score["higher_is_better"], {}))
                if not math.isnan(score["mean"]):
                    column.means[label] = score["mean"]
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{folder}/summary.json is not what python -m dcvsr.evaluate writes: {error}"
            ) from error
    return list(by_clips.values())

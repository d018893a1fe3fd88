"""The paper's tables, whose values a report shows beside ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WEIGHTS = "weights="


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


def without_weights(label: str) -> str:
    """The label of a row, without the weights that it may name."""
    return " ".join(part for part in label.split(" ") if not part.startswith(WEIGHTS))

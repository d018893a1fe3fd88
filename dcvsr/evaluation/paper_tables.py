"""Tables of the paper, whose values a report shows beside ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WEIGHTS = "weights="


@dataclass(frozen=True)
class Paper:
    """One of the paper's tables.

    Args:
        title: of the table.
        rows, columns: names in the table's order.
        values: dataset -> metric -> values by row.
        condition: explanation of when the values are shown, for the report's note.
    """

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Mapping[str, Mapping[str, Sequence[float]]]
    condition: str = "they are shown only if data.name is one of these"

    def row(self, label: str) -> str | None:
        """Return the row that a label belongs to: ``dcvsr +table2=sap`` is ``sap``, with any weights."""
        named = without_weights(label)
        return next((row for row in self.rows if named == row or named.endswith(f"={row}")), None)

    def note(self, dataset: str) -> str:
        """Explain why the paper's values are not shown; empty if they are."""
        known = ", ".join(self.values)
        return "" if dataset in self.values else f"The paper reports values for {known}; {self.condition}."

    def value(self, dataset: str, metric: str, row: str) -> float | None:
        """Return the paper's value, None if the table lacks the dataset or the metric."""
        column = self.values.get(dataset, {}).get(metric)
        return None if column is None else column[list(self.rows).index(row)]


def without_weights(label: str) -> str:
    """Remove the weights from a row's label."""
    return " ".join(part for part in label.split(" ") if not part.startswith(WEIGHTS))

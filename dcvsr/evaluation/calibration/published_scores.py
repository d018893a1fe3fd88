"""Numbers as they were published, and how closely ours come to them."""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from dcvsr.evaluation.paper_tables import Paper
from dcvsr.runtime.errors import UserError

NEAR = 3
"""Digits that agree where a number is near, though not reproduced."""


@dataclass(frozen=True)
class PublishedScore:
    """A metric's value, as text: its last digit tells how exact it is.

    Raises:
        UserError: if it is no number.
    """

    metric: str
    value: str
    source: str

    def __post_init__(self) -> None:
        try:
            known = Decimal(self.value).is_finite()
        except InvalidOperation:
            known = False
        if not known:
            raise UserError(f"{self.source}: {self.metric} is {self.value!r}, which is no number")

    @property
    def digits(self) -> int:
        """How many count, from the first that is not zero to the last."""
        return len(self._places)

    def agreed(self, ours: float) -> int:
        """Its digits, from the first on, to which ``ours`` rounds; half a unit off still does."""
        off = abs(Decimal(ours) - Decimal(self.value))
        return sum(off <= Decimal(5).scaleb(place - 1) for place in self._places)

    def verdict(self, ours: float) -> str:
        """``reproduced`` to the last digit; ``near`` to the third; ``not``."""
        agreed = self.agreed(ours)
        if agreed == self.digits:
            return "reproduced"
        return "near" if agreed >= NEAR else "not"

    @property
    def _places(self) -> range:
        """Powers of ten of its digits."""
        exact = Decimal(self.value)
        return range(exact.adjusted(), int(exact.as_tuple().exponent) - 1, -1)


def of_paper(paper: Paper, dataset: str, row: str) -> list[PublishedScore]:
    """What a table gives of a row on a data set; nothing where it does not know the set."""
    found = []
    for metric, column in paper.values.get(dataset, {}).items():
        # YAML drops zeros at the end: a column's numbers have as many places as its longest.
        places = max(len(str(value).partition(".")[2]) for value in column)
        value = paper.value(dataset, metric, row)
        found.append(PublishedScore(metric, f"{value:.{places}f}", f"{paper.title}, {row} on {dataset}"))
    return found

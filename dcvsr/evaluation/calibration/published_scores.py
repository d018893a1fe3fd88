"""Published scores and their agreement with ours, digit by digit."""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from dcvsr.evaluation.paper_tables import Paper
from dcvsr.runtime.errors import UserError

NEAR = 3
"""Number of leading digits that must agree for the verdict ``near``."""


@dataclass(frozen=True)
class PublishedScore:
    """A published metric value, kept as text because its last digit gives its precision.

    Raises:
        UserError: if the value is not a finite number.
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
            raise UserError(f"{self.source}: {self.metric} is {self.value!r}, which is not a number")

    @property
    def digits(self) -> int:
        """Number of significant digits, from the first non-zero digit to the last."""
        return len(self._places)

    def agreed(self, ours: float) -> int:
        """Count the leading digits to which ``ours`` rounds; half a unit off still agrees."""
        off = abs(Decimal(ours) - Decimal(self.value))
        return sum(off <= Decimal(5).scaleb(place - 1) for place in self._places)

    def verdict(self, ours: float) -> str:
        """Return ``reproduced`` if all digits agree, ``near`` if three do, else ``not``."""
        agreed = self.agreed(ours)
        if agreed == self.digits:
            return "reproduced"
        return "near" if agreed >= NEAR else "not"

    @property
    def _places(self) -> range:
        """Powers of ten of the significant digits."""
        exact = Decimal(self.value)
        return range(exact.adjusted(), int(exact.as_tuple().exponent) - 1, -1)


def paper_scores(paper: Paper, dataset: str, row: str) -> list[PublishedScore]:
    """Return the scores in a row of a paper's table on a dataset; empty if the table lacks the dataset."""
    found = []
    for metric, column in paper.values.get(dataset, {}).items():
        # YAML drops trailing zeros: all numbers of a column have as many decimals as its longest.
        places = max(len(str(value).partition(".")[2]) for value in column)
        value = paper.value(dataset, metric, row)
        found.append(PublishedScore(metric, f"{value:.{places}f}", f"{paper.title}, {row} on {dataset}"))
    return found

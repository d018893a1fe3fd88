"""One line a claim: what was measured, against which target, and whether it was met."""

from dataclasses import asdict, dataclass

from benchmarks.timing import Ratio


@dataclass(frozen=True)
class Line:
    """A claim and its measurement; no target is a figure reported for its own sake."""

    claim: str
    measured: Ratio | float
    at_least: float | None = None
    at_most: float | None = None
    unit: str = ""

    @property
    def value(self) -> float:
        return self.measured.value if isinstance(self.measured, Ratio) else self.measured

    @property
    def met(self) -> bool:
        low, high = self.at_least, self.at_most
        return (low is None or self.value >= low) and (high is None or self.value <= high)

    def __str__(self) -> str:
        bounds = [
            f"{sign} {bound:g}" for sign, bound in ((">=", self.at_least), ("<=", self.at_most)) if bound
        ]
        target = f"   target {' and '.join(bounds)}: {'met' if self.met else 'MISSED'}" if bounds else ""
        measured = str(self.measured) if isinstance(self.measured, Ratio) else f"{self.measured:.4g}"
        return f"{self.claim}: {measured}{self.unit}{target}"

    def plain(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self) | {"met": self.met}

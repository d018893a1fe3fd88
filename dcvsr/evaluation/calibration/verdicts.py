"""Verdict lines: the convention that reproduces each metric of each source."""

from collections.abc import Sequence

from dcvsr.evaluation.calibration.comparison import Calibration, ComparisonRow, metric_of


def verdicts(calibration: Calibration) -> list[str]:
    """Return one line per metric and source, in the order of the rows."""
    by_source: dict[tuple[str, str], list[ComparisonRow]] = {}
    unknown: dict[str, None] = {}
    for row in calibration.rows:
        if row.published is None:
            unknown[row.subject] = None
        else:
            by_source.setdefault((row.metric, row.published.source), []).append(row)
    lines = [
        f"{metric} ({source}): {_verdict(metric, rows, calibration)}"
        for (metric, source), rows in by_source.items()
    ]
    return lines + [f"{subject}: no published value is known" for subject in unknown]


def _verdict(metric: str, rows: Sequence[ComparisonRow], calibration: Calibration) -> str:
    by_convention: dict[str, list[ComparisonRow]] = {}
    for row in rows:
        if row.convention is not None:
            by_convention.setdefault(row.convention, []).append(row)
    if all(row.ours is None for row in rows):
        needs = (why for name, why in calibration.missing.items() if metric_of(name) == metric)
        return f"not computed: {next(needs, 'no convention has a value')}"
    ranks = {convention: _rank(found) for convention, found in by_convention.items()}
    best = reproduced, near = max(ranks.values())
    if not any(best):
        return _nearest(by_convention)
    leading = [convention for convention, rank in ranks.items() if rank == best]
    numbers = len(by_convention[leading[0]])
    others = f", near {near} more" if near else ""
    count = f"reproduces {reproduced} of {numbers}{others}" if reproduced else f"is near {near} of {numbers}"
    return f"{' = '.join(leading)} {count}"


def _rank(rows: Sequence[ComparisonRow]) -> tuple[int, int]:
    """Count the rows that a convention reproduces, and those that it comes near."""
    found = [row.verdict for row in rows]
    return found.count("reproduced"), found.count("near")


def _nearest(by_convention: dict[str, list[ComparisonRow]]) -> str:
    """Name the convention with the smallest error, for metrics that no convention comes near."""
    off = {
        convention: max((difference(row) for row in rows if row.ours is not None), key=abs)
        for convention, rows in by_convention.items()
        if any(row.ours is not None for row in rows)
    }
    nearest = min(off, key=lambda convention: abs(off[convention]))
    return f"no convention reproduces it; nearest is {nearest}, off by up to {off[nearest]:+.4g}"


def difference(row: ComparisonRow) -> float:
    """Subtract the published value from ours; the row must have both."""
    assert row.ours is not None
    assert row.published is not None
    return row.ours - float(row.published.value)

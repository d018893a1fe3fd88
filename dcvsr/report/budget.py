"""Tables at equal cost: rows with about as many U-Net evaluations as the reference."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dcvsr.evaluation.paper_tables import Paper
from dcvsr.report.runs import Run, by_label, families, on_the_same_clips
from dcvsr.report.table import Table, table
from dcvsr.runtime.errors import UserError

STEPS = "sampler.steps"

MARGIN = 0.1
"""Allowed deviation from the reference's evaluations, as a fraction of them."""


def tables_at_equal_evaluations(
    runs: Sequence[Run], paper: Paper | None = None, reference: str = "dcvsr"
) -> list[Table]:
    """Tabulate runs; of runs that differ only in their steps, keep the one closest to the reference in cost.

    Raises:
        UserError: if ``reference`` is not exactly one row with U-Net evaluations.
    """
    return [_table(by_label(of_clips), paper, reference) for of_clips in on_the_same_clips(runs)]


def at_equal_evaluations(
    rows: Mapping[str, list[Run]], reference: str
) -> tuple[dict[str, list[Run]], list[str]]:
    """Return the rows to keep, also those without evaluations, and settings without a row of that cost."""
    spent = {label: of_row[0].evaluations for label, of_row in rows.items()}
    budget, kept, dropped = spent[reference], set(), []
    for family, labels in families(rows, STEPS).items():
        spending = [label for label in labels if spent[label]]
        kept |= set(labels) - set(spending)
        near = [label for label in spending if abs(spent[label] - budget) <= MARGIN * budget]
        if near:
            kept.add(min(near, key=lambda label: (abs(spent[label] - budget), label != reference)))
        elif spending:
            dropped.append(family)
    return {label: of_row for label, of_row in rows.items() if label in kept}, dropped


def _table(rows: Mapping[str, list[Run]], paper: Paper | None, named: str) -> Table:
    reference = _row(rows, named)
    kept, dropped = at_equal_evaluations(rows, reference)
    note = f"Rows at {rows[reference][0].evaluations} U-Net evaluations, give or take {MARGIN:.0%}."
    missing = f" Without such a run: {', '.join(dropped)}." if dropped else ""
    at_equal = table(kept, paper, reference)
    return replace(at_equal, note=" ".join(filter(None, [at_equal.note, note + missing])))


def _row(rows: Mapping[str, list[Run]], named: str) -> str:
    """Return the label equal to ``named``, or equal except for its steps."""
    found = [named] if named in rows else families(rows, STEPS).get(named, [])
    spending = [label for label in found if rows[label][0].evaluations]
    if len(spending) != 1:
        trouble = "stands for several rows" if spending else "is not a row with U-Net evaluations"
        raise UserError(f"reference={named} {trouble}; name one of: {'; '.join(rows)}")
    return spending[0]

"""Equal evaluations: the nearest of what differs in steps alone, and nothing that is far."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcvsr.report.budget import MARGIN, at_equal_evaluations, tables_at_equal_evaluations
from dcvsr.report.runs import Run, by_label
from dcvsr.report.table import tables
from dcvsr.report.table_files import markdown
from dcvsr.runtime.errors import UserError
from tests.report.making import run


def swept(guidance: str, evaluations: dict[int, int]) -> list[Run]:
    """``evaluations``: steps -> their number."""
    return [
        run("dcvsr", settings=(f"guidance={guidance}", f"sampler.steps={steps}"), evaluations=n, psnr=[n, n])
        for steps, n in evaluations.items()
    ]


RUNS = [
    *swept("dssag", {4: 400, 7: 800, 8: 800, 16: 1600}),
    *swept("sag", {4: 600, 5: 750, 6: 840, 8: 1200}),
    *swept("pag", {4: 600, 8: 1200}),
    run("bicubic", evaluations=0, psnr=[1.0, 2.0]),
]
REFERENCE = "dcvsr guidance=dssag sampler.steps=8"


def test_of_each_family_the_nearest_stays_and_what_is_never_near_is_named() -> None:
    [table] = tables_at_equal_evaluations(RUNS, reference=REFERENCE)
    assert [row.label for row in table.rows] == [REFERENCE, "dcvsr guidance=sag sampler.steps=6", "bicubic"]
    assert [row.evaluations for row in table.rows] == [800, 840, 0]
    assert table.reference == REFERENCE
    assert "Rows at 800 U-Net evaluations, give or take 10%. Without such a run: dcvsr guidance=pag." in (
        markdown([table])
    )
    assert all(row.cells[0].difference for row in table.rows[1:])


def test_where_all_spend_the_same_nothing_changes() -> None:
    runs = [run(name, evaluations=7, psnr=[1.0, 2.0]) for name in ("dcvsr", "a", "b")]
    [before], [after] = tables(runs), tables_at_equal_evaluations(runs)
    assert after.rows == before.rows
    assert after.note == "Rows at 7 U-Net evaluations, give or take 10%."


def test_a_reference_need_not_name_its_only_steps() -> None:
    runs = [*swept("dssag", {8: 800}), *swept("sag", {4: 600, 6: 840})]
    [table] = tables_at_equal_evaluations(runs, reference="dcvsr guidance=dssag")
    assert table.reference == REFERENCE


@pytest.mark.parametrize(
    ("reference", "complaint"),
    [
        (
            "dcvsr guidance=dssag",
            "stands for several rows; name one of: dcvsr guidance=dssag sampler.steps=4;",
        ),
        ("gone", "reference=gone is not a row with U-Net evaluations; name one of"),
        ("bicubic", "not a row with U-Net evaluations"),
    ],
)
def test_a_reference_that_sets_no_budget_is_refused(reference: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        tables_at_equal_evaluations(RUNS, reference=reference)


SPENT = st.dictionaries(
    st.tuples(st.sampled_from(["cfg", "sag", "pag"]), st.integers(1, 9)), st.integers(0, 60), min_size=1
)


@given(SPENT, st.integers(1, 60))
def test_what_is_kept_is_near_one_of_each_family_and_the_reference_always(
    spent: dict[tuple[str, int], int], budget: int
) -> None:
    runs = [made for (guidance, steps), number in spent.items() for made in swept(guidance, {steps: number})]
    rows = by_label([*runs, run("reference", settings=("only",), evaluations=budget, psnr=[0, 0])])
    kept, dropped = at_equal_evaluations(rows, "reference only")
    assert "reference only" in kept
    assert list(kept) == [label for label in rows if label in kept]
    for guidance in ("cfg", "sag", "pag"):
        numbers = [number for (of, _), number in spent.items() if of == guidance and number]
        found = [
            of_row[0].evaluations
            for label, of_row in kept.items()
            if f"guidance={guidance}" in label and of_row[0].evaluations
        ]
        near = [number for number in numbers if abs(number - budget) <= MARGIN * budget]
        assert len(found) == bool(near)
        if near:
            assert abs(found[0] - budget) == min(abs(number - budget) for number in numbers)
        assert (f"dcvsr guidance={guidance}" in dropped) == bool(numbers and not near)
    zeros = sum(number == 0 for number in spent.values())
    assert sum(of_row[0].evaluations == 0 for of_row in kept.values()) == zeros

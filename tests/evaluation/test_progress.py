"""Progress of an evaluation: stored, and resumed only by the same run."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcvsr.evaluation.progress import Progress, add_costs
from dcvsr.runtime.errors import UserError

RUN: dict[str, Any] = {
    "settings": {"seed": 0, "sampler": {"steps": 4}},
    "weights": {"file": "a", "sha256": "1"},
}
COST = {"evaluations": 3, "seconds": 1.5, "peak_memory_bytes": 10, "flops": {"plain": 2}}


def test_results_and_cost_are_resumed(tmp_path: Path) -> None:
    first = Progress(tmp_path, RUN)
    first.add("a", 0, {"scores": {"psnr": 30.0}}, COST)
    second = Progress(tmp_path, RUN)
    assert second.result("a", 0) == {"scores": {"psnr": 30.0}}
    assert second.result("a", 1) is second.result("b", 0) is None
    second.add("b", 0, {"scores": {}}, COST | {"peak_memory_bytes": 4})
    assert second.cost == {"evaluations": 6, "seconds": 3.0, "peak_memory_bytes": 10, "flops": {"plain": 4}}


def test_the_cost_of_a_process_is_not_counted_twice(tmp_path: Path) -> None:
    progress = Progress(tmp_path, RUN)
    for clip in "abc":
        progress.add(clip, 0, {}, COST)
    assert progress.cost == COST


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"settings": {"seed": 0, "sampler": {"steps": 8}}}, "sampler.steps is 4 there, 8 here"),
        ({"weights": {"file": "a", "sha256": "2"}}, "weights is 1 there, 2 here"),
        ({"weights": None}, "weights is 1 there, None here"),
    ],
)
def test_a_run_with_other_settings_or_weights_is_rejected(
    tmp_path: Path, other: dict[str, Any], message: str
) -> None:
    Progress(tmp_path, RUN).add("a", 0, {}, COST)
    with pytest.raises(UserError, match=message):
        Progress(tmp_path, RUN | other)


def test_output_settings_may_change_on_resume(tmp_path: Path) -> None:
    Progress(tmp_path, RUN).add("a", 0, {}, COST)
    other = {"settings": RUN["settings"] | {"wandb": {"save_dir": "b"}, "runs": "c"}}
    assert Progress(tmp_path, RUN | other).result("a", 0) == {}


def test_a_summary_marks_the_run_as_finished(tmp_path: Path) -> None:
    progress = Progress(tmp_path, RUN)
    progress.add("a", 0, {}, COST)
    assert not progress.is_finished
    (tmp_path / "summary.json").write_text(json.dumps({**RUN, "cost": COST}))
    progress.finish()
    assert Progress(tmp_path, RUN).is_finished
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


COUNTS = st.fixed_dictionaries({"n": st.integers(0, 99), "peak": st.integers(0, 99)})


@given(COUNTS, COUNTS, COUNTS)
def test_adding_costs_is_associative_and_commutative(one: dict, other: dict, third: dict) -> None:
    assert (
        add_costs(add_costs(one, other), third)
        == add_costs(one, add_costs(other, third))
        == add_costs(third, add_costs(other, one))
    )
    assert add_costs({}, one) == add_costs(one, {}) == one

"""What was done is kept, and only gone on with by the same run."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcvsr.evaluation.progress import Progress, total
from dcvsr.runtime.errors import UserError

RUN: dict[str, Any] = {
    "settings": {"seed": 0, "sampler": {"steps": 4}},
    "weights": {"file": "a", "sha256": "1"},
}
COST = {"evaluations": 3, "seconds": 1.5, "peak_memory_bytes": 10, "flops": {"plain": 2}}


def test_results_and_cost_outlive_the_process(tmp_path: Path) -> None:
    first = Progress(tmp_path, RUN)
    first.add("a", 0, {"scores": {"psnr": 30.0}}, COST)
    second = Progress(tmp_path, RUN)
    assert second.result("a", 0) == {"scores": {"psnr": 30.0}}
    assert second.result("a", 1) is second.result("b", 0) is None
    second.add("b", 0, {"scores": {}}, COST | {"peak_memory_bytes": 4})
    assert second.cost == {"evaluations": 6, "seconds": 3.0, "peak_memory_bytes": 10, "flops": {"plain": 4}}


def test_a_process_s_cost_counts_once_however_often_it_is_told(tmp_path: Path) -> None:
    progress = Progress(tmp_path, RUN)
    for clip in "abc":
        progress.add(clip, 0, {}, COST)
    assert progress.cost == COST


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"settings": {"seed": 0, "sampler": {"steps": 8}}}, "sampler.steps is 4 there, 8 here"),
        ({"weights": {"file": "a", "sha256": "2"}}, "weights is 1 there, 2 here"),
        ({"weights": None}, "weights is 1 there, None here"),
    ],
)
def test_another_run_is_refused(tmp_path: Path, other: dict[str, Any], said: str) -> None:
    Progress(tmp_path, RUN).add("a", 0, {}, COST)
    with pytest.raises(UserError, match=said):
        Progress(tmp_path, RUN | other)


def test_where_wandb_goes_makes_no_other_run(tmp_path: Path) -> None:
    Progress(tmp_path, RUN).add("a", 0, {}, COST)
    elsewhere = {"settings": RUN["settings"] | {"wandb": {"save_dir": "b"}, "runs": "c"}}
    assert Progress(tmp_path, RUN | elsewhere).result("a", 0) == {}


def test_a_summary_ends_a_run(tmp_path: Path) -> None:
    progress = Progress(tmp_path, RUN)
    progress.add("a", 0, {}, COST)
    assert not progress.is_finished
    (tmp_path / "summary.json").write_text(json.dumps({**RUN, "cost": COST}))
    progress.finish()
    assert Progress(tmp_path, RUN).is_finished
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


COUNTS = st.fixed_dictionaries({"n": st.integers(0, 99), "peak": st.integers(0, 99)})


@given(COUNTS, COUNTS, COUNTS)
def test_totals_may_be_taken_in_any_order(one: dict, other: dict, third: dict) -> None:
    assert (
        total(total(one, other), third) == total(one, total(other, third)) == total(third, total(other, one))
    )
    assert total({}, one) == total(one, {}) == one

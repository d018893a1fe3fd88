"""Runs of a sweep: found, told apart by what differs, and gathered by seed."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvsr.errors import UserError
from dcvsr.page.runs import Run, by_label, families, on_the_same_clips, runs_under
from tests.page.making import run


def make(
    folder: Path, upscaler: str = "dcvsr", seed: int = 0, settings: tuple[str, ...] = (), **told: Any
) -> None:
    """``told``: what summary.json holds besides."""
    folder.mkdir(parents=True)
    summary = {
        "upscaler": upscaler,
        "seed": seed,
        "dataset": "packaged",
        "metrics": {"psnr": {"mean": 30.0, "higher_is_better": True}},
        "clips": {"carphone": {"psnr": 30.0}},
        "cost": {"evaluations": 8, "seconds": 1.5},
        "overrides": [f"upscaler={upscaler}", f"seed={seed}", *settings],
        **told,
    }
    (folder / "summary.json").write_text(json.dumps(summary))


def labels(folder: Path) -> dict[str, list[int]]:
    return {label: [run.seed for run in runs] for label, runs in by_label(runs_under(folder)).items()}


def test_runs_that_differ_in_their_seed_are_one_row(tmp_path: Path) -> None:
    for number, (upscaler, seed) in enumerate([("bicubic", 0), ("dcvsr", 0), ("dcvsr", 1), ("dcvsr", 2)]):
        make(tmp_path / str(number), upscaler, seed, ("data=pairs", "runs=outputs"))
    assert labels(tmp_path) == {"bicubic": [0], "dcvsr": [0, 1, 2]}


def test_rows_are_called_by_what_not_all_runs_share(tmp_path: Path) -> None:
    for number, rate in enumerate(("1", "0.25", "0.0625")):
        make(tmp_path / str(number), settings=("data=pairs", f"propagation.sap.rate={rate}"))
    assert list(labels(tmp_path)) == [
        f"dcvsr propagation.sap.rate={rate}" for rate in ("1", "0.25", "0.0625")
    ]


def test_jobs_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        make(tmp_path / str(number), seed=number)
    assert [run.seed for run in runs_under(tmp_path)] == [1, 2, 10]


def test_a_folder_without_runs_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no run of python -m dcvsr.evaluate; name the folder"):
        runs_under(tmp_path)


def test_a_run_of_several_seeds_is_a_run_a_seed_that_share_its_cost(tmp_path: Path) -> None:
    by_seed = {str(seed): {"carphone": {"psnr": 30.0 + seed}} for seed in (4, 5)}
    make(tmp_path / "many", seed=4, settings=("seeds=2", "keep=png"), by_seed=by_seed)
    make(tmp_path / "one", upscaler="bicubic")
    many, other, one = runs_under(tmp_path)
    assert [(run.seed, run.scores) for run in (many, other)] == [(4, by_seed["4"]), (5, by_seed["5"])]
    assert (many.evaluations, many.seconds, one.evaluations) == (4, 0.75, 8)
    assert one.scores == {"carphone": {"psnr": 30.0}}
    assert labels(tmp_path) == {"dcvsr": [4, 5], "bicubic": [0]}


def test_a_run_tells_what_its_degradation_did_and_where_it_is(tmp_path: Path) -> None:
    make(tmp_path / "told", strength={"carphone": {"blur": 1.5, "jpeg": None}})
    make(tmp_path / "untold")
    told, untold = runs_under(tmp_path)
    assert (told.strength, untold.strength) == ({"carphone": {"blur": 1.5, "jpeg": None}}, {})
    assert told.folder == tmp_path / "told"


@pytest.mark.parametrize("by_seed", [{"zero": {}}, ["0"], 3])
def test_seeds_that_are_none_are_named(tmp_path: Path, by_seed: object) -> None:
    make(tmp_path / "0", by_seed=by_seed)
    with pytest.raises(UserError, match=r"summary.json is not what python -m dcvsr.evaluate writes"):
        runs_under(tmp_path)


RUNS = st.lists(
    st.builds(
        lambda dataset, clips, steps: run(
            "dcvsr", dataset=dataset, settings=(f"sampler.steps={steps}",), psnr=[1.0] * clips
        ),
        st.sampled_from("XY"),
        st.integers(1, 3),
        st.integers(1, 3),
    ),
    min_size=1,
)


@settings(deadline=None)
@given(RUNS)
def test_groups_rows_and_families_leave_nothing_out(runs: list[Run]) -> None:
    groups = on_the_same_clips(runs)
    assert sorted(id(run) for group in groups for run in group) == sorted(map(id, runs))
    for group in groups:
        assert len({(run.dataset, *run.scores) for run in group}) == 1
        rows = by_label(group)
        assert sum(map(len, rows.values())) == len(group)
        assert families(rows, "sampler.steps") == {"dcvsr": list(rows)}
        assert families(rows, "sampler") == {label: [label] for label in rows}


def test_runs_on_other_lr_are_no_rows_of_one_table(tmp_path: Path) -> None:
    """Two re-rolls of one degradation differ by decibels."""
    for number, (upscaler, lr) in enumerate([("bicubic", "a"), ("dcvsr", "a"), ("dcvsr", "b")]):
        make(tmp_path / str(number), upscaler, lr_sha256={"carphone": lr})
    groups = on_the_same_clips(runs_under(tmp_path))
    assert [[run.upscaler for run in group] for group in groups] == [["bicubic", "dcvsr"], ["dcvsr"]]

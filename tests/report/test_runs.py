"""Runs of a sweep: found, told apart by what differs, and gathered by seed."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcvsr.report.runs import Run, by_label, families, on_the_same_clips, runs_under
from dcvsr.report.table import tables
from dcvsr.report.table_files import comma_separated, latex, markdown
from dcvsr.runtime.errors import UserError
from tests.report.making import run


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


@given(RUNS)
def test_groups_rows_and_families_leave_nothing_out(runs: list[Run]) -> None:
    groups = on_the_same_clips(runs)
    assert sorted(id(run) for group in groups for run in group) == sorted(map(id, runs))
    for group in groups:
        assert len({(run.dataset, *run.scores) for run in group}) == 1
        rows = by_label(group)
        assert sum(map(len, rows.values())) == len({(run.upscaler, run.settings, run.seed) for run in group})
        assert families(rows, "sampler.steps") == {"dcvsr": list(rows)}
        assert families(rows, "sampler") == {label: [label] for label in rows}


def test_runs_on_other_lr_are_no_rows_of_one_table(tmp_path: Path) -> None:
    """Two re-rolls of one degradation differ by decibels."""
    for number, (upscaler, lr) in enumerate([("bicubic", "a"), ("dcvsr", "a"), ("dcvsr", "b")]):
        make(tmp_path / str(number), upscaler, lr_sha256={"carphone": lr})
    groups = on_the_same_clips(runs_under(tmp_path))
    assert [[run.upscaler for run in group] for group in groups] == [["bicubic", "dcvsr"], ["dcvsr"]]


def weights(name: str, **told: Any) -> dict[str, Any]:
    """As an evaluation with ``ckpt=name`` tells them; ``name`` is their content, too."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    return {"file": f"/there/{name}", "sha256": digest, "stage": 2, "step": 500, **told}


def test_other_weights_are_no_seeds_and_a_repeated_run_is_one(tmp_path: Path) -> None:
    """``ckpt=shipped``, another checkpoint, and ``shipped`` again."""
    for number, name in enumerate(("nano.safetensors", "last.ckpt", "nano.safetensors")):
        make(tmp_path / str(number), settings=(f"ckpt={name}",), weights=weights(name))
    rows = by_label(runs_under(tmp_path))
    assert {label: [run.folder.name for run in of_row] for label, of_row in rows.items()} == {
        f"dcvsr weights=nano.safetensors:{weights('nano.safetensors')['sha256'][:8]}": ["0"],
        f"dcvsr weights=last.ckpt:{weights('last.ckpt')['sha256'][:8]}": ["1"],
    }


def test_weights_that_all_runs_share_are_in_no_label(tmp_path: Path) -> None:
    for seed in (0, 1):
        make(tmp_path / str(seed), seed=seed, weights=weights("a.ckpt"))
    make(tmp_path / "2", seed=2, weights=weights("a.ckpt", file="/moved/b.ckpt"))
    make(tmp_path / "3", "bicubic", weights=None)
    assert labels(tmp_path) == {"dcvsr": [0, 1, 2], "bicubic": [0]}


def test_runs_of_unknown_weights_stay_apart_from_known_ones(tmp_path: Path) -> None:
    make(tmp_path / "0", weights=weights("a.ckpt"))
    make(tmp_path / "1", weights=None)
    make(tmp_path / "2")
    known, none, unknown = labels(tmp_path)
    assert known.startswith("dcvsr weights=a.ckpt:")
    assert (none, unknown) == ("dcvsr weights=none", "dcvsr weights=unknown")


def test_a_setting_follows_the_weights_in_a_label(tmp_path: Path) -> None:
    for number, (name, rate) in enumerate([("a", 1), ("b", 1), ("a", 4), ("b", 4)]):
        make(tmp_path / str(number), settings=(f"sap.rate={rate}",), weights=weights(name))
    assert [label.split(":")[0] for label in labels(tmp_path)] == ["dcvsr weights=a", "dcvsr weights=b"] * 2
    assert {label.split(" ")[-1] for label in labels(tmp_path)} == {"sap.rate=1", "sap.rate=4"}


def test_a_repeated_run_with_other_scores_is_noted(tmp_path: Path) -> None:
    make(tmp_path / "0", weights=weights("a"))
    make(tmp_path / "1", weights=weights("a"))
    make(tmp_path / "2", weights=weights("a"), clips={"carphone": {"psnr": 31.0}})
    [[kept]] = by_label(runs_under(tmp_path)).values()
    assert (kept.folder.name, kept.scores) == ("0", {"carphone": {"psnr": 30.0}})
    assert kept.conflicts == (tmp_path / "2",)
    [table] = tables(runs_under(tmp_path))
    assert f"{tmp_path / '2'} has the same settings, weights and seed and other scores" in table.note
    assert table.rows[0].seeds == 1


def test_a_reference_of_several_weights_is_told_how_to_name_one(tmp_path: Path) -> None:
    for name in ("a.ckpt", "b.ckpt"):
        make(tmp_path / name, weights=weights(name))
    [table] = tables(runs_under(tmp_path))
    first, second = (row.label for row in table.rows)
    assert table.note == f"dcvsr is 2 rows here, so none is compared: set reference='{first}' or '{second}'."
    [table] = tables(runs_under(tmp_path), reference=first)
    assert (table.note, table.reference) == ("", first)


def test_training_seeds_are_a_spread_of_their_own(tmp_path: Path) -> None:
    """Three trainings with means 30, 31, 32, and two sampling seeds each, one dB apart."""
    for training in range(3):
        told = weights(f"{training}.ckpt", training={"seed": training, "recipe": "same"})
        for seed in range(2):
            scores = {"carphone": {"psnr": 29.5 + training + seed}}
            make(tmp_path / f"{training}{seed}", seed=seed, weights=told, clips=scores)
    make(tmp_path / "99", weights=weights("other", training={"seed": 3, "recipe": "another"}))
    [table] = tables(runs_under(tmp_path))
    assert [(row.seeds, row.cells[0].text) for row in table.rows] == [
        (2, "30.00 ± 0.71"),
        (2, "31.00 ± 0.71"),
        (2, "32.00 ± 0.71"),
        (1, "30.00"),
    ]
    [row] = table.trainings
    assert (row.label, row.seeds, row.cells[0].text) == ("dcvsr", 3, "31.00 ± 1.00")
    assert "| dcvsr | 31.00 ± 1.00 | 3 |" in markdown([table])
    assert "packaged,dcvsr over 3 trainings,PSNR,31.00 ± 1.00,,,,1,3," in comma_separated([table])
    assert r"dcvsr & 31.00 $\pm$ 1.00 \\" in latex([table])

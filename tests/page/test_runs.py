"""Runs of a sweep: found, told apart by what differs, and gathered by seed."""

import json
from pathlib import Path

import pytest

from dcvsr.errors import UserError
from dcvsr.page.runs import by_label, runs_under


def make(folder: Path, upscaler: str = "dcvsr", seed: int = 0, settings: tuple[str, ...] = ()) -> None:
    folder.mkdir(parents=True)
    summary = {
        "upscaler": upscaler,
        "seed": seed,
        "dataset": "packaged",
        "metrics": {"psnr": {"mean": 30.0, "higher_is_better": True}},
        "clips": {"carphone": {"psnr": 30.0}},
        "cost": {"evaluations": 8, "seconds": 1.5},
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / ".hydra").mkdir()
    (folder / ".hydra/overrides.yaml").write_text(
        json.dumps([f"upscaler={upscaler}", f"seed={seed}", *settings])
    )


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

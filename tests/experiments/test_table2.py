"""The sweeps of Table 2 in miniature are what `python -m dcvsr.evaluate -m` takes."""

import importlib.util
import json
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from dcvsr.runtime.cli import CONF

HERE = Path(__file__).parents[2] / "experiments" / "table2"
PAGES: dict[str, Any] = OmegaConf.load(HERE / "table2.yaml").pages


def table2() -> Any:
    spec = importlib.util.spec_from_file_location("table2", HERE / "table2.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def commands(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[list[str]]:
    """Commands that the script would run."""
    script = table2()
    ran: list[list[str]] = []
    monkeypatch.setattr(script, "picture", lambda *_: None)
    monkeypatch.setattr(script, "svg", lambda _: b"")
    monkeypatch.setattr(script, "write_whole", lambda *_: None)
    monkeypatch.setattr(script, "run", lambda *command: ran.append([*command]))
    monkeypatch.setattr(sys, "argv", ["table2", *arguments])
    script.main()
    return ran


@pytest.mark.parametrize("page", PAGES)
def test_every_job_composes_and_none_is_run_twice(page, monkeypatch):
    ran = commands(monkeypatch, "data.path=clips", "--only", page)
    count = len(PAGES[page]["sweeps"])
    sweeps, [report] = ran[:count], ran[count:]
    runs, reference = f"runs=outputs/table2/{page}", f"reference='{PAGES[page]['reference']}'"
    assert report == ["report", f"output=outputs/table2/{page}.html", runs, reference]
    jobs = []
    for command, multirun, *overrides in sweeps:
        assert (command, multirun) == ("evaluate", "-m")
        choices = [
            [f"{key}={value}" for value in ([values] if values.startswith("[") else values.split(","))]
            for key, _, values in (override.partition("=") for override in overrides)
            if key not in ("+sweep", "hydra.sweep.dir")
        ]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            jobs += [compose("evaluate", list(job)) for job in product(*choices)]
    assert len({str(job) for job in jobs}) == len(jobs) > 1
    assert all(job.ckpt == "shipped" and "edge_sharpness" in job.metrics for job in jobs)


def test_the_last_word_on_a_key_is_the_user_s(monkeypatch):
    sweep, *_ = commands(monkeypatch, "seeds=1", "--only", "guidance")
    assert [given for given in sweep if given.startswith("seeds")] == ["seeds=1"]


def test_a_dry_run_draws_nothing(monkeypatch):
    ran = commands(monkeypatch, "--dry-run")
    assert len(ran) == sum(len(page["sweeps"]) for page in PAGES.values())
    assert all(command[0] == "evaluate" and command[-1] == "dry_run=true" for command in ran)


@pytest.mark.parametrize("page", PAGES)
def test_the_reference_is_one_of_the_page_s_rows(page):
    rows = set()
    for sweep in PAGES[page]["sweeps"]:
        given = [override.partition("=") for override in sweep]
        for values in product(*(value.split(",") for _, _, value in given)):
            rows.add(frozenset(f"{key}={value}" for (key, _, _), value in zip(given, values, strict=True)))
    shared = frozenset.intersection(*rows)
    labels = {" ".join(["dcvsr", *sorted(row - shared)]) for row in rows}
    assert PAGES[page]["reference"] in labels


def test_plots_are_drawn_of_what_is_asked_for_and_scored(tmp_path):
    for steps, lpips in {1: 0.3, 3: 0.2, 12: 0.25}.items():
        summary = {
            "upscaler": "dcvsr",
            "dataset": "X",
            "by_seed": {seed: {"a": {"lpips": lpips + seed / 100, "niqe": 5}} for seed in (0, 1)},
            "metrics": {name: {"higher_is_better": False} for name in ("lpips", "niqe")},
            "overrides": [f"sampler.steps={steps}"],
            "cost": {"evaluations": 2 * steps, "seconds": 2 * steps},
        }
        (tmp_path / str(steps)).mkdir()
        (tmp_path / str(steps) / "summary.json").write_text(json.dumps(summary))
    figure = table2().picture(tmp_path, "sampler.steps", ["psnr", "lpips"])
    assert [axes.get_title() for axes in figure.axes] == ["LPIPS ↓"]
    [line] = figure.axes[0].lines
    assert line.get_xydata() == pytest.approx(np.array([[1, 0.305], [3, 0.205], [12, 0.255]]))
    [costs] = table2().picture(tmp_path, "seconds", ["lpips"]).axes
    assert len(costs.lines) == 3
    assert [name.split("=")[0] for name in costs.figure.get_supxlabel().splitlines()] == [
        f"{number}. dcvsr sampler.steps" for number in (1, 2, 3)
    ]
    assert not table2().picture(tmp_path, "sampler.steps", ["psnr"]).axes

"""The sweeps of Table 2 in miniature are what `python -m dcvsr.evaluate -m` takes."""

import importlib.util
import sys
from itertools import product
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from dcvsr.cli import CONF, as_group

HERE = Path(__file__).parents[2] / "experiments" / "table2"
PAGES: dict[str, list[list[str]]] = OmegaConf.load(HERE / "table2.yaml").pages


def commands(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[list[str]]:
    """What the script would run."""
    spec = importlib.util.spec_from_file_location("table2", HERE / "table2.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    ran: list[list[str]] = []
    monkeypatch.setattr(script, "run", lambda *command: ran.append([*command]))
    monkeypatch.setattr(sys, "argv", ["table2", *arguments])
    script.main()
    return ran


@pytest.mark.parametrize("page", PAGES)
def test_every_job_composes_and_none_is_run_twice(page, monkeypatch):
    *sweeps, report = commands(monkeypatch, "data.path=clips", "--only", page)
    assert report == ["report", f"output=outputs/table2/{page}.html", f"runs=outputs/table2/{page}"]
    jobs = []
    for command, multirun, *overrides in sweeps:
        assert (command, multirun) == ("evaluate", "-m")
        choices = [
            [f"{key}={value}" for value in ([values] if values.startswith("[") else values.split(","))]
            for key, _, values in (override.partition("=") for override in overrides)
            if key not in ("+sweep", "hydra.sweep.dir")
        ]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            jobs += [compose("evaluate", [*map(as_group, job)]) for job in product(*choices)]
    assert len({str(job) for job in jobs}) == len(jobs) > 1
    assert all(job.ckpt == "shipped" and "edge_sharpness" in job.metrics for job in jobs)


def test_the_last_word_on_a_key_is_the_user_s(monkeypatch):
    sweep, *_ = commands(monkeypatch, "seeds=1", "--only", "table2")
    assert [given for given in sweep if given.startswith("seeds")] == ["seeds=1"]


def test_a_dry_run_draws_nothing(monkeypatch):
    ran = commands(monkeypatch, "--dry-run")
    assert len(ran) == sum(map(len, PAGES.values()))
    assert all(command[0] == "evaluate" and command[-1] == "dry_run=true" for command in ran)

"""Sweeps: jobs that fail are recorded, finished jobs are not repeated, by every launcher and by Optuna."""

import csv
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from dcvsr.runtime.cli import command
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.sweeps import _killed_jobs_leave_others
from tests.conftest import restored, under_stress

Sweep = Callable[..., int]

SCRIPT = """
from pathlib import Path
from dcvsr.runtime.cli import command

@command("evaluate")
def main(cfg):
    Path(f"ran_{cfg.seed}").touch(exist_ok=False)
    if cfg.seed == 2:
        raise MemoryError("CUDA out of memory.\\n Tried to allocate 2 GiB")

main()
"""


@pytest.fixture
def sweep(tmp_path, monkeypatch) -> Sweep:
    """Run a command's sweep with a given task in this process; return its exit code."""
    monkeypatch.chdir(tmp_path)

    def run(task, *arguments: str, name: str = "evaluate") -> int:
        given = [name, "-m", "hydra.sweep.dir=run", *arguments]
        monkeypatch.setattr(sys, "argv", given)
        with restored():
            try:
                command(name)(task)()
            except SystemExit as stop:
                return int(stop.code or 0)
        return 0

    return run


def launch(folder: Path, launcher: str) -> subprocess.CompletedProcess[str]:
    """Sweep the script in ``folder`` over three seeds."""
    return subprocess.run(
        [sys.executable, "script.py", "-m", f"+sweep={launcher}", "seed=1,2,3", "hydra.sweep.dir=run"],
        cwd=folder,
        env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "jobs.csv").open() as file:
        return list(csv.DictReader(file))


def test_failed_jobs_are_in_the_table_and_only_they_run_again(sweep, tmp_path, capfd):
    ran, broken = [], True

    def task(cfg):
        ran.append(cfg.seed)
        if broken and cfg.seed == 2:
            raise UserError("seed=2 is a\nmistake")
        if broken and cfg.seed == 3:
            raise RuntimeError("CUDA out of memory.\n  Tried 2 GiB")

    assert sweep(task, "seed=1,2,3,4", "crf=9") == 1
    rows = table(tmp_path / "run")
    assert [(row["job"], row["folder"]) for row in rows] == [(n, n) for n in "0123"]
    assert [row["overrides"] for row in rows] == [f"seed={n} crf=9" for n in range(1, 5)]
    assert [(row["state"], row["reason"]) for row in rows] == [
        ("finished", ""),
        ("failed", "seed=2 is a; mistake"),
        ("failed", "RuntimeError: CUDA out of memory.; Tried 2 GiB"),
        ("finished", ""),
    ]
    broken = False
    assert sweep(task, "seed=1,2,3,4", "crf=9") == 0
    assert ran == [1, 2, 3, 4, 2, 3]
    assert {(row["state"], row["reason"]) for row in table(tmp_path / "run")} == {("finished", "")}
    assert "job 3 finished before" in capfd.readouterr().out


def test_an_interrupted_sweep_of_training_resumes_its_job_and_goes_on(sweep, tmp_path, capfd):
    ran = []

    def task(cfg):
        ran.append((cfg.seed, cfg.resume))
        if cfg.seed == 2 and cfg.resume is None:
            raise KeyboardInterrupt

    arguments = ("+experiment=stage1", "seed=1,2,3")
    assert sweep(task, *arguments, name="train") == 130
    assert [row["state"] for row in table(tmp_path / "run")] == ["finished", "running"]
    assert "the same command with hydra.sweep.dir=run resumes" in capfd.readouterr().err
    assert sweep(task, *arguments, name="train") == 0
    assert ran == [(1, None), (2, None), (2, "auto"), (3, None)]


def test_the_folder_of_another_sweep_is_refused(sweep, tmp_path, capfd):
    ran = []
    assert sweep(lambda cfg: ran.append(cfg.seed), "seed=1,2", "wandb=none") == 0
    assert sweep(lambda cfg: ran.append(cfg.seed), "seed=1,3", "wandb=offline") == 2
    assert ran == [1, 2]
    line = capfd.readouterr().err.splitlines()[-1]
    assert line.endswith(
        "run/1 holds a job of another sweep, which differs in seed=2 seed=3; "
        "give another folder with hydra.sweep.dir=..."
    )


def test_a_dry_run_finishes_no_job(sweep, tmp_path):
    ran = []
    for _ in range(2):
        assert sweep(lambda cfg: ran.append(cfg.seed), "seed=1,2", "dry_run=true") == 0
    assert ran == [1, 2, 1, 2]


@pytest.mark.parametrize(
    ("launcher", "module"),
    [
        *[("parallel", "joblib"), ("submitit_local", "submitit")],
        *([("ray", "ray")] if under_stress() else []),  # its cluster takes a quarter of a minute to start
    ],
)
def test_every_launcher_records_a_failed_job_and_repeats_no_finished_one(launcher, module, sweep, tmp_path):
    pytest.importorskip(module)
    assert sweep(lambda cfg: None, "seed=1") == 0
    (tmp_path / "script.py").write_text(SCRIPT)
    done = launch(tmp_path, launcher)
    assert done.returncode == 1, done.stderr
    # ray copies the output of its workers here on a thread of its own, so it may come last
    assert re.search(r"^dcvsr: 1 of 3 jobs failed: ", done.stderr, re.MULTILINE)
    assert sorted(path.name for path in tmp_path.glob("ran_*")) == ["ran_2", "ran_3"]
    rows = table(tmp_path / "run")
    assert [row["state"] for row in rows] == ["finished", "failed", "finished"]
    assert rows[1]["reason"] == "MemoryError: CUDA out of memory.; Tried to allocate 2 GiB"


def test_a_killed_process_of_submitit_leaves_the_other_jobs(tmp_path):
    pytest.importorskip("submitit")
    fault = SCRIPT.partition("raise ")[2].partition("\n\n")[0]
    killed = SCRIPT.replace(f"raise {fault}", "import os; os.kill(os.getpid(), 9)")
    assert killed != SCRIPT
    # submitit waits a quarter of a minute for the result of a process that has ended without one.
    patience = "import submitit\nsubmitit.Job._results_timeout_s = 1\n"
    (tmp_path / "script.py").write_text(patience + killed)
    done = launch(tmp_path, "submitit_local")
    assert done.returncode == 1, done.stderr
    rows = table(tmp_path / "run")
    assert [row["state"] for row in rows] == ["finished", "failed", "finished"]
    assert rows[1]["reason"] == "its process ended; see .submitit"


OPTUNA = ("+sweep=optuna", "objective=psnr", "direction=maximize", "crf=interval(0,50)")


def test_optuna_searches_past_failed_trials_and_resumes(sweep, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    ran: dict[float, float] = {}

    def task(cfg):
        assert cfg.crf not in ran
        ran[cfg.crf] = float("-inf") if cfg.crf > 30 else -((cfg.crf - 20) ** 2)
        if cfg.crf > 30:
            raise RuntimeError("loss is nan")
        return {"psnr": ran[cfg.crf]}

    assert sweep(task, *OPTUNA, "hydra.sweeper.n_trials=4") == 1
    assert sweep(task, *OPTUNA, "hydra.sweeper.n_trials=6") == 1
    assert len(ran) == 6
    states = [row["state"] for row in table(tmp_path / "run")]
    assert states == ["failed" if crf > 30 else "finished" for crf in ran]
    assert {*states} == {"failed", "finished"}
    found = yaml.safe_load((tmp_path / "run/optimization_results.yaml").read_text())
    assert (found["best_params"]["crf"], found["best_value"]) == max(ran.items(), key=lambda item: item[1])


def test_optuna_without_a_finite_score_says_so(sweep, capfd):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    assert sweep(lambda cfg: {"psnr": float("nan")}, *OPTUNA, "hydra.sweeper.n_trials=1") == 2
    lines = capfd.readouterr().err.splitlines()
    assert lines[-2:] == [
        "dcvsr: job 0 has no finite psnr: nan",
        "dcvsr: no job has a finite score to optimize",
    ]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (OPTUNA[:1], "Optuna needs a score to optimize: +sweep=optuna objective=lpips direction=minimize"),
        (
            (*OPTUNA[:1], "objective=lpps", *OPTUNA[2:]),
            "objective=lpps is not a score of this command; choose psnr|",
        ),
    ],
)
def test_optuna_without_an_objective_is_refused(arguments, line, sweep, capfd):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    assert sweep(lambda cfg: None, *arguments) == 2
    assert f"dcvsr: {line}" in capfd.readouterr().err


def test_jobs_of_submitit_that_never_began_are_an_error(tmp_path, monkeypatch):
    submitit = pytest.importorskip("submitit")
    from submitit.core.utils import UncompletedJobError

    def lost(self):
        raise UncompletedJobError("no output")

    monkeypatch.setattr(submitit.Job, "results", lost)
    cfg = OmegaConf.create(
        {"hydra": {"launcher": {"_target_": "a.submitit"}, "sweep": {"dir": str(tmp_path)}}}
    )
    waiting = _killed_jobs_leave_others(cfg)
    waiting.__enter__()
    for _ in range(2):
        submitit.Job.results(None)
    with pytest.raises(UserError, match="2 jobs ended before they began"):
        waiting.__exit__(None, None, None)

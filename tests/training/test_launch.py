"""Starts that would not give one run of the processes asked for are refused with the way out."""

import os
import signal
from pathlib import Path

import pytest

from dcvsr.runtime.errors import UserError
from dcvsr.training.launch import refuse_launch, working_in
from tests.conftest import TINY, Run

FOLDER = ["hydra.run.dir=run"]


@pytest.mark.parametrize(
    ("preset", "devices", "nodes", "sweeping", "overrides", "environment"),
    [
        ("single", 1, 1, True, [], {}),
        ("single", [3], 1, False, [], {}),
        ("ddp", 4, 1, False, [], {}),
        ("ddp", 4, 2, False, FOLDER, {"WORLD_SIZE": "8"}),
        ("ddp", 2, 1, True, [], {"WORLD_SIZE": "2", "LOCAL_RANK": "0"}),
        ("slurm", 4, 2, False, FOLDER, {"SLURM_NTASKS": "8"}),
        ("fsdp", 1, 1, False, [], {"SLURM_NTASKS": "1"}),
    ],
)
def test_a_start_of_one_run_is_not_refused(preset, devices, nodes, sweeping, overrides, environment):
    refuse_launch(preset, devices, nodes, sweeping, overrides, environment)


@pytest.mark.parametrize(
    ("preset", "devices", "nodes", "sweeping", "overrides", "environment", "said"),
    [
        ("single", 2, 1, False, [], {}, "choose trainer=ddp, fsdp or slurm"),
        ("single", "auto", 1, False, [], {}, "got devices=auto"),
        ("single", 1, 2, False, [], {}, "nodes=2"),
        ("slurm", 4, 1, False, FOLDER, {}, "start it with srun, or choose trainer=ddp"),
        ("ddp", [0, 1], 1, True, [], {}, "set devices=1, or use torchrun"),
        ("ddp", 4, 1, False, ["hydra.verbose=true"], {"WORLD_SIZE": "4"}, "add hydra.run.dir=FOLDER"),
        ("fsdp", 4, 2, False, [], {"SLURM_NTASKS": "8"}, "8 processes need one folder"),
    ],
)
def test_another_start_is_refused_with_the_way_out(
    preset, devices, nodes, sweeping, overrides, environment, said
):
    with pytest.raises(UserError, match=said):
        refuse_launch(preset, devices, nodes, sweeping, overrides, environment)


@pytest.mark.parametrize("experiment", ["stage1", "all_stages"])
def test_a_second_run_in_a_folder_is_refused_in_one_line(experiment: str, run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    arguments = (f"+experiment={experiment}", *TINY, f"hydra.run.dir={folder}", "resume=auto")
    (folder / "metrics.csv").touch()  # resume=auto deletes that of a run without checkpoints
    with working_in(folder):
        done = run("train", *arguments)
    assert done.code == 2
    assert done.err == (
        f"dcvsr: another process trains in {folder}; wait for it, or give another hydra.run.dir=\n"
    )
    assert (folder / "metrics.csv").exists()


def test_the_first_process_alone_locks_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with working_in(tmp_path):
        monkeypatch.setenv("LOCAL_RANK", "1")
        with working_in(tmp_path):
            pass


def test_a_forked_process_does_not_keep_the_lock(tmp_path: Path) -> None:
    output, end = os.pipe()
    with working_in(tmp_path):
        pid = os.fork()
        if pid == 0:
            os.write(end, b"begun")
            signal.pause()
    assert os.read(output, 5) == b"begun"
    try:
        with working_in(tmp_path):
            pass
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

"""A signal saves a checkpoint before the run ends, from which it continues as if it had not been stopped."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dcvsr.training.checkpoints import Checkpoints
from dcvsr.training.module import VSRModule
from tests.conftest import QUICK, TINY, module_of, restored
from tests.training.forked import run_ranks, srun

ROOT = Path(__file__).parents[2]
STEPS = ("trainer.max_steps=3", "batch=2")


def signalled(
    monkeypatch: pytest.MonkeyPatch, name: str, at: int, number: signal.Signals, rank: int | None = None
) -> None:
    """Send this process, or that of ``rank`` alone, a signal inside of the ``at``-th call of a step."""
    step: Callable[..., Any] = getattr(VSRModule, name)
    calls: list[object] = []

    def interrupted(module: VSRModule, *args: Any) -> Any:
        calls.append(args)
        if len(calls) == at and rank in (None, module.global_rank):
            os.kill(os.getpid(), number)
        return step(module, *args)

    monkeypatch.setattr(VSRModule, name, interrupted)


def checkpoint(folder: str | Path) -> dict[str, Any]:
    return torch.load(Path(folder) / "checkpoints/last.ckpt", weights_only=True)


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    for weights in ("state_dict", "ema"):
        found, expected = (
            content[weights] if weights == "state_dict" else content[weights]["weights"]
            for content in (one, other)
        )
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in found)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The last checkpoint of a run that no signal stops."""
    folder = tmp_path_factory.mktemp("unbroken")
    keys = [*TINY, *QUICK, *STEPS, "hydra.run.dir=run"]
    with pytest.MonkeyPatch.context() as patch, restored():
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["train", "+experiment=stage1", *keys])
        module_of("train").main()
    return checkpoint(folder / "run")


def test_sigterm_inside_of_a_step_saves_first(unbroken, train, tmp_path, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        signalled(patch, "training_step", at=3, number=signal.SIGTERM)  # the first of two batches of step 2
        done = train("stage1", *STEPS, "hydra.run.dir=stopped")
    assert done.code == 128 + signal.SIGTERM, done.err
    assert (
        f"stopped by SIGTERM at step 1; resume with resume=auto hydra.run.dir={tmp_path}/stopped" in done.out
    )
    assert signal.getsignal(signal.SIGTERM) == before
    assert checkpoint(tmp_path / "stopped")["global_step"] == 1
    assert train("stage1", *STEPS, "hydra.run.dir=stopped", "resume=auto").code == 0
    assert_same(checkpoint(tmp_path / "stopped"), unbroken)


def test_a_signal_inside_of_validation_saves_the_trained_weights(unbroken, train, tmp_path, monkeypatch):
    signalled(monkeypatch, "validation_step", at=1, number=signal.SIGUSR1)
    done = train("stage1", *STEPS, "hydra.run.dir=stopped")
    assert done.code == 128 + signal.SIGUSR1, done.err
    assert_same(checkpoint(tmp_path / "stopped"), unbroken)


@pytest.mark.timeout(600)
def test_slurm_s_signal_to_one_task_stops_all_at_the_same_step(unbroken, train, tmp_path, monkeypatch):
    torch.set_num_threads(1)  # OpenMP's threads do not outlive a fork
    monkeypatch.chdir(tmp_path)
    keys = [*TINY, *QUICK, *STEPS, "trainer=slurm", "trainer.accelerator=cpu"]
    monkeypatch.setattr(sys, "argv", ["train", "+experiment=stage1", *keys, "hydra.run.dir=stopped"])
    with monkeypatch.context() as patch:
        signalled(patch, "training_step", at=1, number=signal.SIGUSR1, rank=1)
        run_ranks(module_of("train").main, srun, codes=(128 + signal.SIGUSR1, 0))
    assert checkpoint(tmp_path / "stopped")["global_step"] == 1
    assert train("stage1", *STEPS, "hydra.run.dir=stopped", "resume=auto").code == 0
    resumed = checkpoint(tmp_path / "stopped")["state_dict"]
    for name, value in unbroken["state_dict"].items():
        torch.testing.assert_close(resumed[name], value, rtol=0, atol=1e-4)


@pytest.mark.parametrize("script", ["torchrun.sh", "slurm.sh"])
def test_a_script_starts_one_run(script: str, tmp_path: Path) -> None:
    """Its launcher is replaced by one that prints its arguments."""
    for name in ("torchrun", "srun"):
        (tmp_path / name).write_text('#!/bin/sh\necho "$@"\n')
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "NODES": "2", "GPUS": "4", "HEAD": "node1", "SLURM_JOB_ID": "7"}
    command = ["bash", ROOT / "examples" / script, "+experiment=stage1", "scale=svd"]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    preset, *started = {
        "torchrun.sh": ("ddp", "--nnodes=2", "--nproc-per-node=4", "nodes=2", "devices=4"),
        "slurm.sh": ("slurm", "hydra.run.dir=outputs/train/slurm-7"),
    }[script]
    arguments = {*printed.split()}
    assert {"-m", "dcvsr.train", f"trainer={preset}", "resume=auto", "scale=svd", *started} <= arguments


def test_a_checkpoint_of_an_interrupted_validation_is_saved_again_after_it(monkeypatch, tmp_path):
    checkpoints, saved = Checkpoints(str(tmp_path), every=2, keep_last=2, keep_best=None), list[int]()
    monkeypatch.setattr(Checkpoints, "save", lambda _, trainer: saved.append(trainer.global_step))
    trainer: Any = SimpleNamespace(global_step=4)
    for due in (False, True):
        checkpoints.on_load_checkpoint(trainer, None, {"validation_due": due})
        checkpoints.on_train_start(trainer, None)
        checkpoints.on_train_batch_start(trainer, None, None, 0)
        assert saved == [4] * due

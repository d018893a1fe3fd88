"""A run that is killed at any moment and resumed leaves what an unbroken run leaves, bit for bit."""

import csv
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import diffusers.models.unets.unet_spatio_temporal_condition  # noqa: F401  each child would import it
import lightning.pytorch  # noqa: F401
import pytest
import torch
import wandb  # noqa: F401

import dcvsr.train
import dcvsr.training.few_steps
import dcvsr.training.lora
import dcvsr.video.io  # noqa: F401
from dcvsr.runtime.composition import composed
from dcvsr.training import checkpoint_files
from dcvsr.training.module import VSRModule
from tests.conftest import TINY, module_of, under_stress
from tests.training.forked import run_ranks

STEPS, EVERY, ACCUMULATED = 5, 2, 2
RUN = (
    *TINY,
    *("metrics=psnr", "~loggers.wandb", f"trainer.max_steps={STEPS}", f"checkpoint_every={EVERY}"),
    *(f"batch={ACCUMULATED}", f"trainer.val_check_interval={EVERY * ACCUMULATED}"),
    *("keep_best=psnr", "keep_last=2", "~callbacks.progress", "~callbacks.side_by_side"),
    *("~callbacks.cost", "datamodule.validated.tiles=1"),
)
STAGES = {
    "stage1": ("module.dropout=0.5", "save_in_background=true"),
    "stage2": ("ckpt=null", "lora=attention"),
    "stage3": (
        *("ckpt=null", "module.losses.lpips=0", "module.losses.dists=0", "module.adversary.channels=4"),
        *("module.losses.adversarial=0.1", "module.losses.features=1", "save_in_background=true"),
    ),
}
Kill = Callable[[int], None]


def dying_at(number: int) -> Callable[[], None]:
    """A function whose ``number``-th call kills this process."""
    calls = iter(range(1, 1000))

    def die() -> None:
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return die


def _before(function: Callable[..., Any], first: Callable[[], None]) -> Callable[..., Any]:
    def both(*args: Any, **kwargs: Any) -> Any:
        first()
        return function(*args, **kwargs)

    return both


def in_batch(number: int) -> None:
    VSRModule.training_step = _before(VSRModule.training_step, dying_at(number))  # type: ignore[method-assign]


def in_validation(number: int) -> None:
    VSRModule.validation_step = _before(VSRModule.validation_step, dying_at(number))  # type: ignore[method-assign]


def in_save(number: int) -> None:
    """Kill while the ``number``-th checkpoint is half written."""
    save, die = torch.save, dying_at(number)

    def half(content: Any, file: BinaryIO) -> None:
        file.write(b"PK\x03\x04" + bytes(5000))
        file.flush()
        die()
        file.seek(0)
        file.truncate()
        save(content, file)

    checkpoint_files.torch.save = half  # type: ignore[assignment]


def signalled_in_validation(number: int) -> None:
    """Send a cluster's signal in the ``number``-th validation, of which the run saves a checkpoint."""
    calls = iter(range(1, 1000))

    def send() -> None:
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGTERM)

    VSRModule.validation_step = _before(VSRModule.validation_step, send)  # type: ignore[method-assign]


def moment(draw: random.Random) -> tuple[Kill, int]:
    """A moment of a run at which it is killed."""
    kind = draw.choice([in_batch, in_batch, in_validation, in_save, signalled_in_validation])
    return kind, draw.randint(1, STEPS * ACCUMULATED if kind is in_batch else STEPS // EVERY)


def train(folder: Path, *arguments: str, patch: Callable[[], object] = int) -> int:
    """Train in a process of its own; return its exit code, minus the signal that ended it."""
    composed("train", arguments)  # the child remembers it
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        code = here(folder, arguments, patch)
    finally:
        os._exit(code)


def here(folder: Path, arguments: Sequence[str], patch: Callable[[], object]) -> int:
    """Train in this process, which writes to ``folder/log``; return the exit code."""
    with open(folder / "log", "ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    patch()
    os.chdir(folder)
    sys.argv = ["train", *arguments]
    try:
        module_of("train").main()
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        sys.stdout.flush()
    return 0


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """OpenMP's threads do not outlive a fork."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def assert_equal(one: Any, other: Any, path: str = "") -> None:
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            if key not in ("seconds", "peak_memory", "loops"):
                assert_equal(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), path
        for index, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_equal(a, b, f"{path}[{index}]")
    else:
        assert one == other, path


def rows(run: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv without what is measured, or logged at each start of a run."""
    with (run / "metrics.csv").open() as file:
        found = list(csv.DictReader(file))
    left_out = ("data_wait", "second", "memory", "weights/")
    kept = [
        {key: value for key, value in row.items() if value and not any(name in key for name in left_out)}
        for row in found
    ]
    return [row for row in kept if row.keys() - {"epoch", "step"}]


def assert_same_run(one: Path, other: Path, steps: int = STEPS) -> None:
    names = [sorted(path.name for path in (run / "checkpoints").iterdir()) for run in (one, other)]
    assert names[0] == names[1]
    for name in names[0]:
        a, b = (torch.load(run / "checkpoints" / name, weights_only=True) for run in (one, other))
        assert_equal(a, b, name)
    assert sum("val/psnr" in row for row in rows(one)) == steps // EVERY
    assert rows(one) == rows(other)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("seed", range(20 if under_stress() else 1))
def test_a_run_that_is_killed_and_resumed_equals_an_unbroken_one(
    stage: str, seed: int, tmp_path: Path
) -> None:
    start = (f"+experiment={stage}", *RUN, *STAGES[stage])
    assert train(tmp_path, *start, "hydra.run.dir=whole") == 0, (tmp_path / "log").read_text()
    draw = random.SystemRandom()  # the moments are printed
    for _ in range(2 if under_stress() else 1):
        kill, number = moment(draw)
        print(stage, kill.__name__, number)
        code = train(tmp_path, *start, "hydra.run.dir=broken", "resume=auto", patch=partial(kill, number))
        assert code in (0, -signal.SIGKILL, 128 + signal.SIGTERM), (tmp_path / "log").read_text()
    assert train(tmp_path, *start, "hydra.run.dir=broken", "resume=auto") == 0, (tmp_path / "log").read_text()
    assert_same_run(tmp_path / "whole", tmp_path / "broken")


@pytest.mark.timeout(600)
def test_two_processes_that_are_killed_and_resumed_equal_unbroken_ones(tmp_path: Path) -> None:
    """The kill comes within the part of a step, after the checkpoint of step 2."""
    both = ("trainer=ddp", "devices=2", "trainer.accelerator=cpu", f"batch={2 * ACCUMULATED}", "resume=auto")
    steps = EVERY + 1
    start = ("+experiment=stage1", *RUN, f"trainer.max_steps={steps}", "module.dropout=0.5", *both)

    def run(name: str, patch: Callable[[], object] = int, code: int = 0) -> None:
        composed("train", start)
        task = partial(here, tmp_path, (*start, f"hydra.run.dir={name}"), patch)
        run_ranks(task, codes=(code, code))

    run("whole")
    run("broken", partial(in_batch, EVERY * ACCUMULATED + 2), -signal.SIGKILL)
    assert (tmp_path / "broken/checkpoints/last.ckpt").is_file()
    run("broken")
    assert_same_run(tmp_path / "whole", tmp_path / "broken", steps)

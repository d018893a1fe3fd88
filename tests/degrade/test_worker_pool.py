"""Tests of the worker pool: results, progress, Ctrl-C, failures and early stops."""

import os
import signal
import time
from dataclasses import dataclass
from multiprocessing import util
from pathlib import Path
from typing import Any

import pytest

from dcvsr.degrade.worker_pool import Tick, run_jobs
from dcvsr.runtime.errors import UserError


@dataclass(frozen=True)
class Counts:
    """Finishes a number of frames."""

    frames: int

    def __call__(self, tick: Tick) -> int:
        for _ in range(self.frames):
            tick(1)
        return self.frames


@dataclass(frozen=True)
class Waits:
    """Runs until it is stopped, for minutes at most, and writes how it ended."""

    log: Path

    def __call__(self, tick: Tick) -> None:
        self.log.write_text("started")
        try:
            for _ in range(2500):
                tick(0)
                time.sleep(0.1)
        except BaseException as stopped:
            self.log.write_text(type(stopped).__name__)
            raise


@dataclass(frozen=True)
class FailsAfterStart:
    """Fails as soon as the other job has started."""

    other: Path

    def __call__(self, tick: Tick) -> None:
        while not self.other.exists():
            time.sleep(0.01)
        raise UserError("b/5.png is broken; replace it")


@dataclass(frozen=True)
class KillsItself:
    """Is killed by a signal."""

    def __call__(self, tick: Tick) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class ReportsHandler:
    """Returns the worker's handler of Ctrl-C."""

    def __call__(self, tick: Tick) -> Any:
        return signal.getsignal(signal.SIGINT)


@pytest.mark.parametrize("workers", [0, 2])
def test_every_job_runs_once_and_every_frame_is_reported(workers: int) -> None:
    jobs, ticks = {str(frames): Counts(frames) for frames in range(5)}, []
    assert dict(run_jobs(jobs, workers, ticks.append)) == {name: job.frames for name, job in jobs.items()}
    assert sum(ticks) == 10


def test_workers_ignore_ctrl_c_from_their_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal interrupts workers too; without this, each would print a traceback."""
    handler, spawn, inherited = signal.getsignal(signal.SIGINT), util.spawnv_passfds, []

    def recorded(path: Any, arguments: Any, handles: Any) -> int:
        if "spawn_main" in str(arguments):
            inherited.append(signal.getsignal(signal.SIGINT))
        return spawn(path, arguments, handles)

    monkeypatch.setattr(util, "spawnv_passfds", recorded)
    jobs = {"a": ReportsHandler(), "b": ReportsHandler()}
    assert dict(run_jobs(jobs, 2, lambda _: None)) == dict.fromkeys(jobs, signal.SIG_IGN)
    assert {*inherited} == {signal.SIG_IGN}
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_failing_job_stops_the_others_at_their_next_frame(tmp_path: Path) -> None:
    log = tmp_path / "log"
    jobs = {"a": Waits(log), "b": FailsAfterStart(log), "c": Waits(tmp_path / "never")}
    with pytest.raises(UserError, match=r"^b/5.png is broken; replace it$"):
        dict(run_jobs(jobs, 2, lambda _: None))
    assert log.read_text() == "Stopped"


def test_a_killed_worker_is_an_error_with_a_way_out() -> None:
    with pytest.raises(UserError, match=r"a worker was killed.* run again with fewer, workers=0"):
        dict(run_jobs({"a": KillsItself()}, 1, lambda _: None))


def test_closing_the_generator_stops_the_remaining_jobs() -> None:
    done: list[int] = []
    results = run_jobs({"a": Counts(1), "b": Counts(1)}, 0, done.append)
    assert next(results) == ("a", 1)
    results.close()
    assert done == [1]

"""Clips in parallel: done alike here and elsewhere, and stopped where one fails."""

import os
import signal
import time
from dataclasses import dataclass
from multiprocessing import util
from pathlib import Path
from typing import Any

import pytest

from dcvsr.degrade.worker_pool import Tick, each
from dcvsr.runtime.errors import UserError


@dataclass(frozen=True)
class Counts:
    """Works on some frames."""

    frames: int

    def __call__(self, tick: Tick) -> int:
        for _ in range(self.frames):
            tick(1)
        return self.frames


@dataclass(frozen=True)
class Waits:
    """Works until it is stopped, for minutes at most, and tells how it ended."""

    told: Path

    def __call__(self, tick: Tick) -> None:
        self.told.write_text("begun")
        try:
            for _ in range(2500):
                tick(0)
                time.sleep(0.1)
        except BaseException as stopped:
            self.told.write_text(type(stopped).__name__)
            raise


@dataclass(frozen=True)
class FailsBeside:
    """Fails as soon as the other has begun."""

    other: Path

    def __call__(self, tick: Tick) -> None:
        while not self.other.exists():
            time.sleep(0.01)
        raise UserError("b/5.png is broken; replace it")


@dataclass(frozen=True)
class IsKilled:
    def __call__(self, tick: Tick) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Hears:
    """Tells what Ctrl-C does to the worker."""

    def __call__(self, tick: Tick) -> Any:
        return signal.getsignal(signal.SIGINT)


@pytest.mark.parametrize("workers", [0, 2])
def test_every_job_is_done_once_and_every_frame_is_told(workers: int) -> None:
    jobs, told = {str(frames): Counts(frames) for frames in range(5)}, []
    assert dict(each(jobs, workers, told.append)) == {name: job.frames for name, job in jobs.items()}
    assert sum(told) == 10


def test_workers_ignore_ctrl_c_from_their_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal interrupts them too, while they import: nobody wants to read where they were."""
    heard, spawn, inherited = signal.getsignal(signal.SIGINT), util.spawnv_passfds, []

    def recorded(path: Any, arguments: Any, handles: Any) -> int:
        if "spawn_main" in str(arguments):
            inherited.append(signal.getsignal(signal.SIGINT))
        return spawn(path, arguments, handles)

    monkeypatch.setattr(util, "spawnv_passfds", recorded)
    jobs = {"a": Hears(), "b": Hears()}
    assert dict(each(jobs, 2, lambda _: None)) == dict.fromkeys(jobs, signal.SIG_IGN)
    assert {*inherited} == {signal.SIG_IGN}
    assert signal.getsignal(signal.SIGINT) is heard


def test_one_that_fails_stops_the_others_at_their_next_frame(tmp_path: Path) -> None:
    told = tmp_path / "told"
    jobs = {"a": Waits(told), "b": FailsBeside(told), "c": Waits(tmp_path / "never")}
    with pytest.raises(UserError, match=r"^b/5.png is broken; replace it$"):
        dict(each(jobs, 2, lambda _: None))
    assert told.read_text() == "Stopped"


def test_a_worker_that_is_killed_is_told_with_a_way_out() -> None:
    with pytest.raises(UserError, match=r"a worker was killed.* run again with fewer, workers=0"):
        dict(each({"a": IsKilled()}, 1, lambda _: None))


def test_whoever_takes_no_more_stops_what_is_left() -> None:
    done: list[int] = []
    results = each({"a": Counts(1), "b": Counts(1)}, 0, done.append)
    assert next(results) == ("a", 1)
    results.close()
    assert done == [1]

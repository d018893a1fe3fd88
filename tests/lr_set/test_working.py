"""Clips in parallel: done alike here and elsewhere, and stopped where one fails."""

import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from dcvsr.errors import UserError
from dcvsr.lr_set.working import Tick, each


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
    """Works until it is stopped, for a minute at most, and tells how it ended."""

    told: Path

    def __call__(self, tick: Tick) -> None:
        self.told.write_text("begun")
        try:
            for _ in range(600):
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


def deaf_at_birth() -> bool:
    """Whether the next worker of this process ignores Ctrl-C before it has imported anything."""
    process = Path(f"/proc/{os.getpid()}/task/{os.getpid()}")
    for _ in range(6000):
        for child in (process / "children").read_text().split():
            if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text():
                [ignored] = re.findall(r"SigIgn:\s*(\w+)", Path(f"/proc/{child}/status").read_text())
                return bool(int(ignored, 16) >> (signal.SIGINT - 1) & 1)
        time.sleep(0.01)
    return False


def test_every_job_is_done_once_and_every_frame_is_told_by_workers_who_never_hear_ctrl_c() -> None:
    """The terminal interrupts them too, while they import: nobody wants to read where they were."""
    heard, jobs = signal.getsignal(signal.SIGINT), {str(frames): Counts(frames) for frames in range(5)}
    with ThreadPoolExecutor() as pool:
        deaf = pool.submit(deaf_at_birth)
        for workers in (0, 2):
            told: list[int] = []
            assert dict(each(jobs, workers, told.append)) == {name: job.frames for name, job in jobs.items()}
            assert sum(told) == 10
        assert deaf.result()
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

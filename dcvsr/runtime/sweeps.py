"""Sweeps: a job that fails leaves the others, and the end names those that failed.

Importing this module does not import torch.
"""

import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode


def exit_code(job: Callable[[], None]) -> int:
    """Run a job of a sweep and return its exit code; Hydra ends a sweep at the first error that it sees.

    Outside of sweeps, and where a job is interrupted, exits and errors pass.
    """
    if HydraConfig.get().mode != RunMode.MULTIRUN:
        job()
        return 0
    try:
        job()
    except SystemExit as stop:
        if stop.code != 2:
            raise
        return 2
    except Exception:
        traceback.print_exc()
        return 1
    return 0


@contextmanager
def failures_named() -> Iterator[None]:
    """Exit at the end of a sweep if jobs failed, in one line that names them by the overrides that vary."""
    multirun = Hydra.multirun

    def named(self: Hydra, *args: Any, **kwargs: Any) -> Any:
        batches = multirun(self, *args, **kwargs)
        jobs = [(job.overrides or [], job.return_value) for batch in batches for job in batch]
        if failed := [overrides for overrides, code in jobs if code]:
            names = ", ".join(_varying([overrides for overrides, _ in jobs], failed))
            print(f"dcvsr: {len(failed)} of {len(jobs)} jobs failed: {names}", file=sys.stderr)
            sys.exit(1 if any(code == 1 for _, code in jobs) else 2)
        return batches

    Hydra.multirun = named
    try:
        yield
    finally:
        Hydra.multirun = multirun


def _varying(jobs: Sequence[Sequence[str]], failed: Sequence[Sequence[str]]) -> list[str]:
    """Return each failed job's overrides that not all jobs share; all of them if there is one job."""
    shared = set[str]() if len(jobs) == 1 else set(jobs[0]).intersection(*jobs)
    return [" ".join(one for one in overrides if one not in shared) or "all alike" for overrides in failed]

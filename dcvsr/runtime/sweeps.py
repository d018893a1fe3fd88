"""Sweeps: a job that fails leaves the others, a sweep resumes, and the end names jobs that failed.

Importing this module does not import torch.
"""

import gc
import math
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import RunMode
from omegaconf import DictConfig

from dcvsr.runtime.errors import UserError
from dcvsr.runtime.job_records import TABLE, JobRecord, records, write_table

Job = Callable[[], Mapping[str, float] | None]


def run_job(job: Job, cfg: DictConfig) -> float | None:
    """Run a job; return its objective, which Optuna optimizes, or None.

    Outside of sweeps, and where a job is interrupted, exits and errors pass. In a sweep other errors are
    recorded, because Hydra ends a sweep at the first error that it sees. A job that finished before is not
    repeated; one that did not finish resumes where the command can.

    Raises:
        UserError: if the job's folder holds another job.
    """
    hydra = HydraConfig.get()
    if hydra.mode != RunMode.MULTIRUN:
        job()
        return None
    folder = Path(hydra.runtime.output_dir)
    record = JobRecord(hydra.job.num, list(hydra.overrides.task))
    before = record.before(folder)
    # Optuna chose its later trials by what failed, and repeats its choices.
    if before and (before.state == "finished" or (before.state == "failed" and _is_optuna(hydra.sweeper))):
        print(f"job {record.job} {before.state} before: {folder}", flush=True)
        return _objective(before, cfg)
    if before and "resume" in cfg and cfg.resume is None:
        cfg.resume = "auto"
    if not cfg.get("dry_run"):
        record.write(folder)
    ended = _ended(job, record)
    gc.collect()  # a module and its trainer refer to each other; the next job needs their memory
    if not cfg.get("dry_run") or ended.code:
        ended.write(folder)
    write_table(Path(hydra.sweep.dir))
    return _objective(ended, cfg)


def _ended(job: Job, record: JobRecord) -> JobRecord:
    try:
        return replace(record, state="finished", scores=dict(job() or {}))
    except SystemExit as stop:
        if stop.code != 2:
            raise
        return replace(record, state="failed", code=2, reason=" ".join(getattr(stop, "__notes__", ())))
    except Exception as error:
        traceback.print_exc()
        reason = f"{type(error).__name__}: {error}".splitlines()
        return replace(record, state="failed", code=1, reason="; ".join(filter(None, map(str.strip, reason))))


def _objective(record: JobRecord, cfg: DictConfig) -> float | None:
    name = cfg.get("objective")
    value = record.scores.get(name) if name else None
    if name and record.state == "finished" and (value is None or not math.isfinite(value)):
        print(f"dcvsr: job {record.job} has no finite {name}: {value}", file=sys.stderr)
        return None
    return value


@contextmanager
def failures_named() -> Iterator[None]:
    """Exit at the end of a sweep if jobs failed, in one line that names them by the overrides that vary."""
    multirun = Hydra.multirun

    def named(self: Hydra, *args: Any, **kwargs: Any) -> Any:
        sweeps: list[Path] = []
        compose = self.compose_config

        def composed(*args: Any, **kwargs: Any) -> DictConfig:
            self.compose_config = compose
            cfg = compose(*args, **kwargs)
            _refuse_optuna(cfg)
            killed.enter_context(_killed_jobs_leave_others(cfg))
            sweeps.append(Path(cfg.hydra.sweep.dir))
            return cfg

        self.compose_config = composed
        killed = ExitStack()
        try:
            with killed:
                done = multirun(self, *args, **kwargs)
        except BaseException as error:
            if str(error) == "No trials are completed yet.":  # Optuna, at the end
                _exit_if_jobs_failed(sweeps[0])
                raise UserError("no job has a finite score to optimize") from error
            if sweeps and not isinstance(error, UserError) and records(sweeps[0]):
                print(f"dcvsr: the same command with hydra.sweep.dir={sweeps[0]} resumes", file=sys.stderr)
            raise
        finally:
            if sweeps:
                write_table(sweeps[0])
        _exit_if_jobs_failed(sweeps[0])
        return done

    Hydra.multirun = named
    try:
        yield
    finally:
        Hydra.multirun = multirun


def _exit_if_jobs_failed(sweep: Path) -> None:
    jobs = list(records(sweep).values())
    if failed := [job for job in jobs if job.state == "failed"]:
        names = ", ".join(_varying([job.overrides for job in jobs], [job.overrides for job in failed]))
        line = f"dcvsr: {len(failed)} of {len(jobs)} jobs failed: {names}; {sweep / TABLE} has the reasons"
        print(line, file=sys.stderr)
        sys.exit(1 if any(job.code == 1 for job in failed) else 2)


@contextmanager
def _killed_jobs_leave_others(cfg: DictConfig) -> Iterator[None]:
    """Wait for all jobs of submitit, which raises at the first one whose process was killed; record it."""
    if "submitit" not in cfg.hydra.launcher["_target_"]:
        yield
        return
    from submitit import Job
    from submitit.core.utils import UncompletedJobError

    results, killed = Job.results, list[Any]()

    def known(self: Any) -> Any:
        try:
            return results(self)
        except UncompletedJobError:
            killed.append(self)
            return [JobReturn(status=JobStatus.COMPLETED)]

    Job.results = known
    try:
        yield
    finally:
        Job.results = results
    sweep = Path(cfg.hydra.sweep.dir)
    running = {folder: job for folder, job in records(sweep).items() if job.state == "running"}
    for folder, job in running.items():
        replace(job, state="failed", code=1, reason="its process ended; see .submitit").write(folder)
    if len(killed) > len(running):
        raise UserError(
            f"{len(killed) - len(running)} jobs ended before they began; see {sweep / '.submitit'}"
        )


def _is_optuna(sweeper: DictConfig) -> bool:
    return sweeper["_target_"].endswith("OptunaSweeper")


def _refuse_optuna(cfg: DictConfig) -> None:
    """Refuse to let Optuna optimize nothing, or something that no job returns, after hours of work."""
    if not _is_optuna(cfg.hydra.sweeper):
        return
    scores = [str(name) for name in cfg.get("metrics") or {}]
    if (name := cfg.get("objective")) is None or not cfg.get("direction"):
        raise UserError(
            "Optuna needs a score to optimize: +sweep=optuna objective=lpips direction=minimize, or maximize"
        )
    if name not in scores and "/" not in name:
        raise UserError(f"objective={name} is not a score of this command; choose {'|'.join(scores)}")


def _varying(jobs: Sequence[Sequence[str]], failed: Sequence[Sequence[str]]) -> list[str]:
    """Return each failed job's overrides that not all jobs share; all of them if there is one job."""
    shared = set[str]() if len(jobs) == 1 else set(jobs[0]).intersection(*jobs)
    return [" ".join(one for one in overrides if one not in shared) or "all alike" for overrides in failed]

"""Records of a sweep's jobs: ``sweep_job.json`` in the folder of each, and the sweep's table ``jobs.csv``.

Importing this module does not import torch.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import read_json, write_whole
from dcvsr.runtime.provenance import write_csv

FILE, TABLE = "sweep_job.json", "jobs.csv"
COLUMNS = ("job", "state", "folder", "overrides", "reason")
SAME_JOB = {"sweep", "wandb", "runs", "cache", "dry_run", "objective", "direction"}
"""Keys that do not change a job's result; a sweep may resume with other values of them."""


@dataclass(frozen=True)
class JobRecord:
    """Record of one job.

    Args:
        job: its number in the sweep.
        overrides: its arguments.
        state: ``running`` until it ends; it stays so if the process is killed.
        reason: one line that tells why it failed.
        code: exit code that it would have alone.
        scores: values that the command returned, by name.
    """

    job: int
    overrides: Sequence[str]
    state: Literal["running", "finished", "failed"] = "running"
    reason: str = ""
    code: int = 0
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def identity(self) -> set[str]:
        """Return the overrides that tell this job from others."""
        return {one for one in self.overrides if one.lstrip("+~").partition("=")[0] not in SAME_JOB}

    def before(self, folder: Path) -> "JobRecord | None":
        """Return the record that an earlier start of this job left in ``folder``, None if there is none.

        Raises:
            UserError: if the folder holds another job.
        """
        if not (folder / FILE).exists():
            return None
        found = JobRecord(**read_json(folder / FILE))
        if others := sorted(found.identity ^ self.identity):
            raise UserError(
                f"{folder} holds a job of another sweep, which differs in {' '.join(others)}; "
                "give another folder with hydra.sweep.dir=..."
            )
        return found

    def write(self, folder: Path) -> None:
        """Write the record; of several processes that share a job only the first writes."""
        if int(os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or 0) == 0:
            write_whole(folder / FILE, json.dumps(asdict(self), ensure_ascii=False), "free disk space")


def records(sweep: Path) -> dict[Path, JobRecord]:
    """Return the records of a sweep's jobs by folder, in the order of their numbers."""
    found = {folder: JobRecord(**read_json(folder / FILE)) for folder in _job_folders(sweep)}
    return dict(sorted(found.items(), key=lambda item: item[1].job))


def write_table(sweep: Path) -> None:
    """Write ``jobs.csv``: number, state, folder, overrides and reason of each job."""
    rows = [
        (record.job, record.state, folder.relative_to(sweep), " ".join(record.overrides), record.reason)
        for folder, record in records(sweep).items()
    ]
    if rows:
        write_csv(sweep / TABLE, COLUMNS, rows)


def _job_folders(sweep: Path) -> Iterator[Path]:
    for folder, below, files in os.walk(sweep):
        if FILE in files:
            below.clear()  # a job's results may be many files
            yield Path(folder)

"""Checks of how the processes of a training run are started, and that no other run has its folder."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dcvsr.runtime.errors import UserError
from dcvsr.runtime.locks import lock

COUNTS = ("WORLD_SIZE", "SLURM_NTASKS")
"""Number of processes in the environment that torchrun or srun makes."""


def refuse_launch(
    preset: str,
    devices: Any,
    nodes: int,
    sweeping: bool,
    overrides: Sequence[str],
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Refuse a start that would not give one run of ``nodes`` times ``devices`` processes.

    Args:
        preset: option of ``trainer``.
        devices: of each node: a number, a list of indices, or ``auto``.
        nodes: machines.
        sweeping: whether Hydra starts one job per value.
        overrides: settings of Hydra itself on the command line.
        environment: of this process.

    Raises:
        UserError: naming the way out.
    """
    many = nodes != 1 or (devices not in (1, "1") and not (_is_list(devices) and len(devices) == 1))
    if many and preset == "single":
        raise UserError(
            f"trainer=single uses one device, got devices={devices} and nodes={nodes}; "
            "choose trainer=ddp, fsdp or slurm"
        )
    if preset == "slurm" and "SLURM_NTASKS" not in environment:
        raise UserError(
            "trainer=slurm runs in processes that srun starts; start it with srun, or choose trainer=ddp"
        )
    started = max((int(environment.get(name) or 1) for name in COUNTS), default=1)
    if sweeping and many and "LOCAL_RANK" not in environment and started == 1:
        # Lightning's child processes would inherit -m and sweep, too.
        raise UserError("a sweep (-m) cannot start several processes per job; set devices=1, or use torchrun")
    named = any(override.partition("=")[0] == "hydra.run.dir" for override in overrides)
    if started > 1 and not sweeping and not named:
        # Each process would name a folder by its own clock.
        raise UserError(f"{started} processes need one folder for the run: add hydra.run.dir=FOLDER")


def is_first_process(environment: Mapping[str, str] = os.environ) -> bool:
    """Return True in the process that writes files, the first of those that take part in a run."""
    ranks = ("RANK", "SLURM_PROCID", "LOCAL_RANK")
    return all(int(environment.get(name) or 0) == 0 for name in ranks)


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Lock the folder of a run against other runs while the block runs; the first process holds the lock.

    Raises:
        UserError: if another run works in the folder.
    """
    if not is_first_process():
        yield
        return
    with (folder / "lock").open("w") as handle:
        os.register_at_fork(after_in_child=handle.close)  # workers of data outlive a killed run by seconds
        lock(handle, f"another process trains in {folder}; wait for it, or give another hydra.run.dir=")
        yield


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)

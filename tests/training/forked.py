"""Processes as torchrun or srun starts them, forked from the test so that they need not import anything."""

import gc
import os
import socket
import sys
from collections.abc import Callable
from multiprocessing import get_context

Environment = Callable[[int, int], dict[str, object]]
"""``(rank, processes)`` -> variables."""


def torchrun(rank: int, processes: int) -> dict[str, object]:
    """Variables of a process on one machine."""
    return {
        **{"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "TORCHELASTIC_RUN_ID": "test"},
        **{"WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes},
    }


def srun(rank: int, processes: int) -> dict[str, object]:
    """Variables of a task of a job on one machine."""
    return {
        **{"SLURM_JOB_ID": 1, "SLURM_JOB_NAME": "test", "SLURM_NNODES": 1, "SLURM_NODEID": 0},
        **{"SLURM_NTASKS": processes, "SLURM_NTASKS_PER_NODE": processes},
        **{"SLURM_PROCID": rank, "SLURM_LOCALID": rank},
    }


def run_ranks(
    task: Callable[[], object], environment: Environment = torchrun, codes: tuple[int, ...] = (0, 0)
) -> None:
    """Call ``task`` in each process of a run; fail unless they end with ``codes`` within minutes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    gc.collect()  # else a fork would free a decoder of this process, and wait for its threads
    context, count = get_context("fork"), len(codes)
    ranks = [
        context.Process(target=_call, args=(task, shared | environment(rank, count))) for rank in range(count)
    ]
    for rank in ranks:
        rank.start()
    for rank, code in zip(ranks, codes, strict=True):
        rank.join(200)
        if rank.exitcode != code:
            for other in ranks:
                other.kill()
    assert tuple(rank.exitcode for rank in ranks) == codes


def _call(task: Callable[[], object], variables: dict[str, object]) -> None:
    gc.freeze()  # what this process does not own takes the collector most of its time
    os.environ |= {name: str(value) for name, value in variables.items()}
    task()
    sys.stdout.flush()

"""Processes as torchrun starts them, forked from the test so that they need not import anything."""

import os
import socket
from collections.abc import Callable
from multiprocessing import get_context


def run_ranks(task: Callable[[], object], processes: int = 2) -> None:
    """Call ``task`` in each process of a run; fail if one fails or they take minutes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = get_context("fork")
    ranks = [context.Process(target=_call, args=(task, rank, processes, port)) for rank in range(processes)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(200)
        if rank.exitcode != 0:
            for other in ranks:
                other.kill()
    assert [rank.exitcode for rank in ranks] == [0] * processes


def _call(task: Callable[[], object], rank: int, processes: int, port: int) -> None:
    own = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0}
    shared = {"WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes, "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in (own | shared).items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_RUN_ID": "test"}
    task()

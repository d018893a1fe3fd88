"""One clip on two ranks against one, each with one thread, at nano: time, and bytes against the plan's."""

import os
import socket
from collections.abc import Iterator
from functools import partial
from multiprocessing import get_context
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from benchmarks.report import Line
from benchmarks.timing import speedup
from dcvsr.attention.observer import NOBODY
from dcvsr.models.clip_condition import LRClip
from dcvsr.models.shared_plan import SharedWork
from dcvsr.models.upscaling_helper import help_with_clips
from dcvsr.runtime.cli import CONF
from dcvsr.runtime.ranks import ALONE, Ranks, joined
from dcvsr.runtime.workspace import Memory

FRAMES, SIDE = 15, 60
"""LR clip of two windows of 16 tiles."""
CPU = torch.device("cpu")


def ranks(pairs: int) -> Iterator[Line]:
    """Time and bytes for windows that are independent, and for those that follow each other."""
    for scheme in ("none", "sap", "tap"):
        upscaler = _upscaler(scheme)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
        helper = get_context("fork").Process(target=_help, args=(upscaler,))
        helper.start()
        os.environ |= {"RANK": "0", "LOCAL_RANK": "0"}
        lr = torch.rand(FRAMES, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
        with joined("cpu") as leader:
            two = partial(_upscaled, upscaler, lr, leader)
            ratio = speedup(partial(_upscaled, upscaler, lr, ALONE), two, pairs)
            runs = pairs + 1
            assert torch.equal(two(), _upscaled(upscaler, lr, ALONE))
            leader.tell(None)
            received = (leader.received + leader.receive(1)) / (runs + 1)
        helper.join()
        plan = SharedWork(upscaler, 2, 1).plan([(FRAMES, SIDE, SIDE)])
        by_work = f"{plan.speedup:.2f} by its work"
        yield Line(f"{scheme}: two ranks, times as fast as one ({by_work})", ratio, at_least=1.7)
        yield Line(f"{scheme}: bytes received, times the plan's", received / plan.bytes, 1, 1)


def _upscaler(scheme: str) -> Any:
    torch.set_num_threads(1)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("upscale", ["input=", "output=", f"propagation={scheme}"])
    return instantiate(cfg.upscaler)


def _help(upscaler: Any) -> None:
    os.environ |= {"RANK": "1", "LOCAL_RANK": "1"}
    with joined("cpu") as here:
        help_with_clips(upscaler, CPU, here, NOBODY)
        here.send(here.received, 0)


@torch.inference_mode()
def _upscaled(upscaler: Any, lr: torch.Tensor, here: Ranks) -> torch.Tensor:
    return torch.cat(list(upscaler.job(LRClip.of(lr), Memory(), CPU, ranks=here)()))


if __name__ == "__main__":
    for line in ranks(5):
        print(line, flush=True)

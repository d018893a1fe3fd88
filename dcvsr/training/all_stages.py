"""Training stages and the evaluation as one command; each part runs as a command of its own."""

import ctypes
import logging
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from dcvsr.runtime.arguments import root
from dcvsr.runtime.composition import composed, is_choice
from dcvsr.runtime.errors import UserError
from dcvsr.training.launch import COUNTS

log = logging.getLogger(__name__)

OWN = ("experiment", "stages", "all_stages", "evaluation", "only", "resume", "run_group", "run_name", "hydra")
"""Keys that the parts do not take from the command line, or get from `commands`."""

Command = list[str]
"""Name and arguments of a command."""

_C, _PR_SET_PDEATHSIG = ctypes.CDLL(None), 1  # linux/prctl.h


def commands(cfg: DictConfig, folder: Path, arguments: Sequence[str]) -> list[Command]:
    """Return the commands of all parts in order.

    A stage starts from the last checkpoint of the one before. The evaluation samples with the steps of the
    last stage. All belong to one group in wandb. Each continues if its folder holds an unfinished run, and
    has nothing to do if it holds a finished one.

    Args:
        cfg: configuration of the whole.
        folder: its folder; each part has one below.
        arguments: its command line.
    """
    given = [argument for argument in arguments if _key(argument) not in OWN and argument[:1] != "-"]
    shared = [argument for argument in given if _key(argument) != "ckpt"]
    group = f"run_group={cfg.run_group or folder.name}"
    start = [argument for argument in given if _key(argument) == "ckpt"]
    parts: list[Command] = []
    settings: list[str] = []
    for name in cfg.stages:
        place = folder / name
        settings = [*shared, *cfg.only.get(name, ())]
        own = [f"hydra.run.dir={place}", "resume=auto", group, f"run_name={name}"]
        parts.append(["train", f"+experiment={name}", *settings, *start, *own])
        start = [f"ckpt={place / 'checkpoints' / 'last.ckpt'}"]
    if cfg.evaluation:
        last = composed("train", [f"+experiment={cfg.stages[-1]}", *settings])
        taken = [*_of_evaluate(shared), f"sampler.steps={last.sampler.steps}", *cfg.only.evaluate]
        parts.append(
            ["evaluate", *taken, *start, f"hydra.run.dir={folder / 'evaluate'}", group, "run_name=evaluate"]
        )
    return parts


def run_all(cfg: DictConfig, folder: Path, arguments: Sequence[str], sweeping: bool) -> None:
    """Run all parts; a part that fails ends the process with its exit code.

    Raises:
        UserError: if there is no stage, or the processes of a stage are started from outside.
    """
    if not cfg.stages:
        raise UserError("stages=[] names no stage; choose some of [stage1,stage2,stage3]")
    if sweeping or any(int(os.environ.get(name) or 1) > 1 for name in COUNTS):
        raise UserError(
            "+experiment=all_stages starts the processes of each stage itself; under -m, torchrun or srun "
            "start +experiment=stage1 and the others one after the other, with resume=auto"
        )
    for command in commands(cfg, folder, arguments):
        if code := _exit_code(command):
            log.info(f"\nthe same command with hydra.run.dir={folder} continues")
            sys.exit(code)
    log.info(f"\nall parts are done: {folder}")


def _exit_code(command: Command) -> int:
    """Run a command, pass SIGTERM on to it, and return its exit code."""
    name, *arguments = command
    print(f"\n$ python -m dcvsr.{name} {shlex.join(arguments)}", flush=True)
    program = [sys.executable, "-m", f"dcvsr.{name}", *arguments]
    with subprocess.Popen(program, preexec_fn=_end_with_parent) as process:  # noqa: PLW1509  one thread
        before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        try:
            code = process.wait()
        finally:
            signal.signal(signal.SIGTERM, before)
    return 128 - code if code < 0 else code


def _end_with_parent() -> None:
    """On Linux, let this process get SIGTERM when its parent ends, by SIGKILL too."""
    if sys.platform == "linux":
        _C.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _key(argument: str) -> str:
    """Return the first part of an argument's key."""
    return root(argument.partition("=")[0].lstrip("+~"))


def _of_evaluate(arguments: Sequence[str]) -> list[str]:
    """Return the arguments whose keys ``evaluate`` has."""
    plain = [argument for argument in arguments if argument[0] not in "+~"]
    default = composed("evaluate")
    choices = [argument for argument in plain if is_choice(argument) and _key(argument) in default]
    cfg = composed("evaluate", choices)
    return [argument for argument in plain if argument in choices or _has(cfg, argument.partition("=")[0])]


def _has(cfg: DictConfig, key: str) -> bool:
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    return isinstance(node, DictConfig) and name in {*node}  # `in node` is false of a key without value

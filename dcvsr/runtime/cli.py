"""Commands: a task and its configuration, errors of one line, and exit codes.

Importing this module does not import torch.
"""

import errno
import functools
import logging
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NoReturn

import hydra
from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from omegaconf import DictConfig

from dcvsr.runtime.arguments import FILE_KEYS, quote, refuse_moved, renamed
from dcvsr.runtime.composition import CONF, refuse_unknown_and_missing, refused_value, user_errors
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.key_values import refuse_values
from dcvsr.runtime.sweeps import failures_named, run_job

__all__ = [
    "CONF",
    "FILE_KEYS",
    "command",
    "fail",
    "preflight",
    "prepared",
    "quote",
    "refused_value",
]
__all__ += ["renamed", "run"]

Task = Callable[[DictConfig], Mapping[str, float] | None]
"""Job of a command; it may return scores, one of which a sweep can optimize."""


def command(
    config_name: str, moved: Mapping[str, str] | None = None, helpers: bool = False
) -> Callable[[Task], Callable[[], None]]:
    """Make ``task`` a command that composes ``conf/<config_name>.yaml``.

    Exit codes: 0 done, 2 a user's mistake (one line on stderr), 130 interrupted, 1 anything else.

    Args:
        config_name: the command's configuration.
        moved: former flags of the command, each with the module of the command that does its job now.
        helpers: whether torchrun may start it in several processes, of which only the first has a folder and
            a log.
    """

    def decorate(task: Task) -> Callable[[], None]:
        given: list[str] = []

        @functools.wraps(task)
        def checked(cfg: DictConfig) -> float | None:
            sys.argv[1:] = given  # Lightning starts further processes with these arguments
            return run_job(lambda: job(cfg), cfg)

        def job(cfg: DictConfig) -> Mapping[str, float] | None:
            with _mistakes_end_in_one_line():
                overrides = list(HydraConfig.get().overrides.task)
                refuse_unknown_and_missing(cfg, config_name, overrides)
                refuse_values(cfg, config_name, overrides)
                return task(cfg)

        def run() -> None:
            # Hydra then raises errors instead of printing them, and this module prints one line.
            os.environ["HYDRA_FULL_ERROR"] = "1"
            for noisy in ("torch.utils._pytree", "diffusers.quantizers.torchao"):  # with torchao
                logging.getLogger(noisy).setLevel(logging.ERROR)
            given[:] = sys.argv[1:]
            with _mistakes_end_in_one_line(config_name), failures_named():
                refuse_moved(given, moved or {})
                sys.argv[1:] = prepared(given)
                if helpers and int(os.environ.get("RANK") or 0):
                    sys.argv[1:1] = ["hydra.run.dir=."]  # a later one, of all ranks, counts
                    sys.argv += ["hydra.output_subdir=null", "hydra/job_logging=stdout"]
                if {"--help", "-h"} & {*given}:
                    # The help of Hydra lists all groups, in 3 s; the templates in conf/ leave the list out.
                    Hydra.format_config_groups = lambda self, predicate, compact=True: ""
                hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(checked)()

        return run

    return decorate


def run(command: str, *arguments: str) -> None:
    """Print and run ``python -m dcvsr.<command> ...``; where it fails, end with its exit code."""
    print(f"\n$ python -m dcvsr.{command} {shlex.join(arguments)}", flush=True)
    done = subprocess.run([sys.executable, "-m", f"dcvsr.{command}", *arguments], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def prepared(arguments: Sequence[str]) -> list[str]:
    """Return overrides as Hydra parses them: present spellings, file names quoted."""
    sweeping = not {"-m", "--multirun"}.isdisjoint(arguments)
    return [quote(renamed(argument), sweeping) for argument in arguments]


def fail(message: str, code: int = 2) -> NoReturn:
    """Print ``message`` as one line on stderr and exit with ``code``."""
    line = "; ".join(filter(None, map(str.strip, message.splitlines())))
    print(f"dcvsr: {line}", file=sys.stderr)
    stop = SystemExit(code)
    stop.add_note(line)  # a sweep records it
    raise stop


def preflight(cfg: DictConfig) -> None:
    """Check the data and weights that a run needs, before slow imports.

    Raises:
        UserError: naming everything that is missing, in one line.
    """
    missing = []
    has_denoiser = "denoiser" in cfg or "denoiser" in cfg.get("upscaler", {})
    parts = [cfg.get("data"), cfg.model if has_denoiser else None]
    for requirement in (part.get("requires") for part in parts if part is not None):
        try:
            hydra.utils.instantiate(requirement)
        except InstantiationException as error:
            missing.append(refused_value(error) or str(error))
    if missing:
        raise UserError("; ".join(missing))


@contextmanager
def _mistakes_end_in_one_line(config_name: str | None = None) -> Iterator[None]:
    try:
        with user_errors(config_name):
            yield
    except KeyboardInterrupt:
        fail("interrupted", 130)
    except UserError as error:
        fail(str(error))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = error.filename or (
            HydraConfig.get().runtime.output_dir if HydraConfig.initialized() else "the output"
        )
        fail(f"cannot write {where}: {os.strerror(error.errno)}; free disk space, or name another folder")

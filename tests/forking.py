"""Python processes forked from the test, which need not import torch again."""

import gc
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

import torch


def forked(arguments: Sequence[str | Path], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``python ARGUMENTS`` in a fork of this process: ``-m module ...`` or a script with its arguments.

    It skips ``atexit``, and modules that this process has imported keep their state.
    """
    given = [str(argument) for argument in arguments]
    gc.collect()  # else a fork would free a decoder of this process, and wait for its threads
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # OpenMP's threads do not outlive a fork
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        pid = os.fork()
        if pid == 0:
            for number, file in enumerate((out, err), start=1):
                os.dup2(file.fileno(), number)
            sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, closefd=False) for number in (1, 2))
            os._exit(call(given, cwd))
        torch.set_num_threads(threads)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        printed = [(file.seek(0), file.read())[1] for file in (out, err)]
    return subprocess.CompletedProcess(given, code, *printed)


def call(arguments: list[str], cwd: Path | None = None) -> int:
    """Run ``python ARGUMENTS`` in this process, and return the exit code that Python would end with."""
    gc.freeze()  # what the test's process has imported takes the collector most of its time
    try:
        os.chdir(cwd or ".")
        if arguments[0] == "-m":
            sys.argv = arguments[1:]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = arguments
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0

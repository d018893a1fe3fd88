"""The console script: names of commands, and what a command's module sees."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dcvsr.__main__ import COMMANDS, TOOLS

ROOT = Path(__file__).parents[1]


def dcvsr(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run ``dcvsr`` as the console script does, whose ``__main__`` has no module specification."""
    code = "import sys; sys.argv[0] = 'dcvsr'; from dcvsr.__main__ import main; sys.exit(main())"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-X", "importtime", "-c", code, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def errors(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if not line.startswith("import time:")]


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_every_command_and_imports_neither_torch_nor_hydra(arguments: list[str]) -> None:
    done = dcvsr(*arguments)
    assert (done.returncode, errors(done)) == (0, [])
    for name, (module, says) in (COMMANDS | TOOLS).items():
        [line] = [line for line in done.stdout.splitlines() if line.startswith(f"  {name} ")]
        assert says in line
        assert line.endswith(f"python -m {module}")
    assert max(map(len, done.stdout.splitlines())) <= 110
    assert not {" torch", " hydra"} & {line.rpartition("|")[2] for line in done.stderr.splitlines()}


def test_version_is_the_package_s() -> None:
    from importlib.metadata import version

    assert dcvsr("--version").stdout == f"dcvsr {version('dcvsr')}\n"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("upscal", "'upscal' is not a command: did you mean 'upscale'? dcvsr --help lists the commands"),
        ("input=a.mp4", "'input=a.mp4' is not a command; dcvsr --help lists the commands"),
    ],
)
def test_an_unknown_command_is_one_line(name: str, line: str) -> None:
    done = dcvsr(name)
    assert (done.returncode, done.stdout, errors(done)) == (2, "", [f"dcvsr: {line}"])


@pytest.mark.parametrize(
    ("arguments", "module"),
    [
        (["upscale", "--help"], ["dcvsr.upscale", "--help"]),
        (["reds", "--help"], ["dcvsr.data.reds", "--help"]),
        (["degrade", "verify", "--help"], ["dcvsr.degrade", "verify", "--help"]),
        (["report", "runs=no such", "output=a.html"], ["dcvsr.report", "runs=no such", "output=a.html"]),
        (["upscale", "input=a", "sed=3"], ["dcvsr.upscale", "input=a", "sed=3"]),
    ],
)
def test_a_command_answers_as_its_module_does(
    tmp_path: Path, arguments: list[str], module: list[str]
) -> None:
    by_name = dcvsr(*arguments, cwd=tmp_path)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", *module]
    by_module = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert by_name.stdout == by_module.stdout
    assert errors(by_name) == by_module.stderr.splitlines()
    assert by_name.returncode == by_module.returncode

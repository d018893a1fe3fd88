"""The package as it is installed."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_a_wheel_carries_its_configuration_and_runs_from_anywhere(tmp_path):
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    source = tmp_path / "source"
    files = subprocess.run(
        ["git", "ls-files", "conf", "dcvsr"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    for name in [*files.stdout.split(), "setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE"]:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([*pip, "--wheel-dir", tmp_path, source], check=True)
    [wheel] = tmp_path.glob("dcvsr-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
        installed = set(archive.namelist())
    assert {f"dcvsr/{name}" for name in files.stdout.split() if name.startswith("conf/")} <= installed
    assert {name for name in files.stdout.split() if name.startswith("dcvsr/")} <= installed
    code = (
        "import sys; sys.path.insert(0, 'site'); import dcvsr; print('version', dcvsr.__version__); "
        "from dcvsr import train; from dcvsr.runtime import cli; print(cli.CONF); train.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "+experiment=stage1", "--cfg", "job"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "site" / "dcvsr" / "conf") in done.stdout
    assert "max_steps" in done.stdout
    assert f"version {wheel.name.split('-')[1]}\n" in done.stdout
    [metadata] = (tmp_path / "site").glob("dcvsr-*.dist-info")
    assert "dcvsr = dcvsr.__main__:main" in (metadata / "entry_points.txt").read_text()


def test_importing_dcvsr_imports_no_dependency() -> None:
    code = (
        "import sys, dcvsr; loaded = {name.partition('.')[0] for name in sys.modules}; "
        "print(*loaded - sys.stdlib_module_names - {'__main__'})"
    )
    assert subprocess.check_output([sys.executable, "-S", "-c", code], cwd=ROOT, text=True) == "dcvsr\n"

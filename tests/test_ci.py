"""CI's script: it installs a browser as root on Debian, and elsewhere goes on without one."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

RUN = Path(__file__).parents[1] / ".ci/run"
ROOT_ON_DEBIAN = {
    "id": "echo 0",
    "grep": "exit 0",
    "sleep": "exit 0",
    "apt_get": 'echo "$DEBIAN_FRONTEND: apt-get $*"',
    "apt_cache": "exit 0",
    "make": 'echo "make $*"',
}
Machine = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def ci(tmp_path: Path) -> Machine:
    """Run the script on a machine whose commands are these one-line scripts and no others."""

    def invoke(**changes: str) -> subprocess.CompletedProcess[str]:
        for name in ("sh", "dirname"):
            (tmp_path / name).symlink_to(shutil.which(name) or name)
        for name, line in (ROOT_ON_DEBIAN | changes).items():
            command = tmp_path / name.replace("_", "-")
            command.write_text(f"#!/bin/sh\n{line}\n")
            command.chmod(0o755)
        machine = os.environ | {"PATH": str(tmp_path)}
        return subprocess.run([RUN], env=machine, capture_output=True, text=True, check=False)

    return invoke


def lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stdout.splitlines() if "apt-get" in line or "make" in line]


def test_root_on_debian_installs_chromium_and_tests(ci: Machine) -> None:
    done = ci()
    update, install, make = lines(done)
    assert (done.returncode, make) == (0, "make test")
    assert update.endswith(" update")
    assert install.startswith("noninteractive: apt-get ")
    assert " install --yes " in install
    assert install.endswith(" chromium chromium-driver")


@pytest.mark.parametrize("machine", [{"id": "echo 1000"}, {"grep": "exit 1"}, {"chromedriver": "exit 0"}])
def test_who_is_not_root_or_not_on_debian_or_has_a_browser_installs_nothing(
    ci: Machine, machine: dict[str, str]
) -> None:
    done = ci(**machine)
    assert (done.returncode, lines(done)) == (0, ["make test"])


def test_what_fails_once_is_tried_again(ci: Machine, tmp_path: Path) -> None:
    """As where another process holds apt's lock."""
    once = f'echo "apt-get $*"; test -e {tmp_path}/met.$# || {{ : > {tmp_path}/met.$#; exit 100; }}'
    done = ci(apt_get=once)
    assert done.returncode == 0
    assert [line.split()[0] for line in lines(done)] == ["apt-get"] * 4 + ["make"]


def test_an_installation_that_fails_twice_fails_ci(ci: Machine) -> None:
    done = ci(apt_get='case "$*" in *install*) exit 100;; esac')
    assert (done.returncode, lines(done)) == (100, [])


def test_without_apt_s_lists_the_browser_tests_skip_and_ci_says_so(ci: Machine) -> None:
    done = ci(apt_get="exit 100", apt_cache="exit 100")
    assert (done.returncode, lines(done)) == (0, ["make test"])
    assert "the tests in a browser are skipped" in done.stderr

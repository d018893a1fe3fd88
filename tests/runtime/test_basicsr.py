"""basicsr behind its fence: there when asked for, and named where it is missing."""

import subprocess
import sys

import pytest

from dcvsr.runtime import basicsr
from dcvsr.runtime.errors import UserError


@pytest.mark.parametrize("name", basicsr.ARCHITECTURES)
def test_every_architecture_is_basicsrs_own(name: str) -> None:
    try:
        architecture = getattr(basicsr, name)
    except UserError as error:
        pytest.skip(str(error))
    assert (architecture.__name__, architecture.__module__.partition(".")[0]) == (name, "basicsr")


def test_what_it_does_not_offer_it_does_not_have() -> None:
    with pytest.raises(AttributeError, match="EDVR"):
        basicsr.EDVR  # noqa: B018


def test_without_basicsr_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "basicsr"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "basicsr", None)
    with pytest.raises(UserError, match=r"needs basicsr .*: pip install --no-deps .* basicsr==1\.4\.2$"):
        basicsr.module("metrics.niqe")


def test_importing_the_fence_imports_nothing_behind_it() -> None:
    code = (
        "import sys, dcvsr.runtime.basicsr; "
        "print({'basicsr', 'torch', 'torchvision', 'cv2'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"

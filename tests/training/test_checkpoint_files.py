"""A checkpoint that cannot be written leaves the one before as it was."""

import errno
import os
import threading
from pathlib import Path
from typing import BinaryIO

import pytest
import torch

from dcvsr.runtime import files
from dcvsr.runtime.errors import UserError
from dcvsr.training.checkpoint_files import WholeCheckpoints, keep_as


class Full:
    """A file whose disk is full after some bytes."""

    def __init__(self, file: BinaryIO, room: int) -> None:
        self._file, self._room = file, room

    def write(self, content) -> int:
        self._room -= len(content)
        if self._room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._file.write(content)

    def __getattr__(self, name: str):
        return getattr(self._file, name)


def test_a_checkpoint_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "last.ckpt"
    WholeCheckpoints().save_checkpoint({"weights": torch.arange(5.0), "step": 3}, path)
    found = torch.load(path, weights_only=True)
    assert torch.equal(found["weights"], torch.arange(5.0))
    assert found["step"] == 3
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("room", [0, 100, 20_000])
def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch, room: int) -> None:
    path = tmp_path / "last.ckpt"
    WholeCheckpoints().save_checkpoint({"weights": torch.zeros(10_000)}, path)
    before, save = path.read_bytes(), torch.save
    monkeypatch.setattr(torch, "save", lambda content, file: save(content, Full(file, room)))
    with pytest.raises(UserError, match=rf"cannot write {path}: No space left on device; free disk space"):
        WholeCheckpoints().save_checkpoint({"weights": torch.ones(10_000)}, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_an_error_of_the_writer_itself_is_not_the_disks(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no disk"), files.whole_file(tmp_path / "a", "free some"):
        raise RuntimeError("no disk is to blame")
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_in_the_background_is_that_of_its_moment(tmp_path: Path, monkeypatch) -> None:
    """The training goes on while it is written, and the next one waits for it."""
    released, save, files_, weights = threading.Event(), torch.save, WholeCheckpoints(True), torch.zeros(3)

    def slow(content, file) -> None:
        assert released.wait(60)
        save(content, file)

    monkeypatch.setattr(torch, "save", slow)
    files_.finish = lambda: keep_as(tmp_path / "last.ckpt", tmp_path / "first.ckpt")
    files_.save_checkpoint({"weights": [weights]}, tmp_path / "last.ckpt")
    weights += 1
    assert not list(tmp_path.glob("*.ckpt"))
    released.set()
    files_.save_checkpoint({"weights": [weights]}, tmp_path / "last.ckpt")
    assert torch.load(tmp_path / "first.ckpt", weights_only=True)["weights"][0].tolist() == [0, 0, 0]
    files_.teardown()
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["weights"][0].tolist() == [1, 1, 1]
    assert {path.name for path in tmp_path.iterdir()} == {"first.ckpt", "last.ckpt"}


@pytest.mark.parametrize("end", ["the next", "the end"])
def test_an_error_in_the_background_surfaces(tmp_path: Path, monkeypatch, end: str) -> None:
    files_, save = WholeCheckpoints(True), torch.save
    monkeypatch.setattr(torch, "save", lambda content, file: save(content, Full(file, 100)))
    files_.save_checkpoint({"weights": torch.ones(9)}, tmp_path / "last.ckpt")
    last = files_.teardown if end == "the end" else lambda: files_.save_checkpoint({}, tmp_path / "last.ckpt")
    with pytest.raises(UserError, match="No space left on device"):
        last()
    files_.teardown()  # an error is raised once


@pytest.mark.parametrize("has_links", [True, False])
def test_a_kept_name_outlives_the_file(tmp_path: Path, monkeypatch, has_links: bool) -> None:
    def refuse(*_) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    last, best = tmp_path / "last.ckpt", tmp_path / "best.ckpt"
    for content in ("1", "2"):
        files.write_whole(last, content)
        keep_as(last, best)
    files.write_whole(last, "3")
    assert (best.read_text(), last.read_text()) == ("2", "3")
    assert len(list(tmp_path.iterdir())) == 2

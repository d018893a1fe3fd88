"""A checkpoint that cannot be written leaves the one before as it was."""

import errno
from pathlib import Path
from typing import BinaryIO

import pytest
import torch

from dcvsr.runtime import files
from dcvsr.runtime.errors import UserError
from dcvsr.training.checkpoint_files import WholeCheckpoints


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

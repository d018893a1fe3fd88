"""Tests of the folder of an LR set: locking, adding clips, and foreign files."""

import os
from pathlib import Path

import pytest

from dcvsr.degrade.lr_folder import PREVIEW, add, is_complete, locked, manifest_path, part_folder, read_set
from dcvsr.degrade.manifest import Entry, Manifest
from dcvsr.runtime.errors import UserError
from tests.degrade.making import files, images, write_png


def entry(digest: str | None = "0") -> Entry:
    return Entry("a", 2, (64, 64), (16, 16), {}, "f", digest)


def test_a_folder_is_locked_by_one_process_and_unlocked_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with (
            locked(tmp_path / "new/lr"),
            pytest.raises(UserError, match="lr is being written by another process; wait for it"),
            locked(tmp_path / "new/lr"),
        ):
            pass


def test_a_blocking_io_error_in_the_body_is_not_reported_as_a_lock(tmp_path: Path) -> None:
    with pytest.raises(BlockingIOError), locked(tmp_path):
        raise BlockingIOError


def test_a_folder_with_only_temporary_files_has_no_set(tmp_path: Path) -> None:
    assert read_set(tmp_path / "none") is None
    (tmp_path / ".a.part").mkdir()
    (tmp_path / PREVIEW).touch()
    (tmp_path / f"manifest.json.{os.getpid()}.part").touch()
    assert read_set(tmp_path) is None


def test_an_added_clip_is_in_place_and_in_the_manifest(tmp_path: Path) -> None:
    write_png(part_folder(tmp_path, "a"), images(2, 16, 16))
    written = add(tmp_path, Manifest(0, "light", {}), "a", entry())
    assert read_set(tmp_path) == written
    assert is_complete(tmp_path, "a", entry())
    assert not part_folder(tmp_path, "a").exists()


def test_a_clip_made_again_replaces_its_folder(tmp_path: Path) -> None:
    write_png(tmp_path / "a", images(1, 8, 8), first=7)
    write_png(part_folder(tmp_path, "a"), images(2, 16, 16))
    made = files(part_folder(tmp_path, "a"))
    add(tmp_path, Manifest(0, "light", {}, clips={"a": entry()}), "a", entry())
    assert files(tmp_path / "a") == made


def test_a_clip_made_again_must_have_the_recorded_hash(tmp_path: Path) -> None:
    known = Manifest(0, "light", {}, clips={"a": entry("1")})
    write_png(part_folder(tmp_path, "a"), images(2, 16, 16))
    with pytest.raises(UserError, match="clip a was made again and differs from"):
        add(tmp_path, known, "a", entry("0"))
    assert not files(tmp_path)
    write_png(part_folder(tmp_path, "a"), images(2, 16, 16))
    assert add(tmp_path, Manifest(0, "light", {}, clips={"a": entry(None)}), "a", entry()).clips == {
        "a": entry()
    }


def test_a_clip_with_missing_frames_is_not_complete(tmp_path: Path) -> None:
    assert not is_complete(tmp_path, "a", entry())
    (tmp_path / "a").mkdir()
    assert not is_complete(tmp_path, "a", entry())
    write_png(tmp_path / "b", images(1, 16, 16))
    assert not is_complete(tmp_path, "b", entry())


def test_an_unlisted_folder_is_an_error_and_an_unlisted_file_is_not(tmp_path: Path) -> None:
    Manifest(0, "light", {}).write(manifest_path(tmp_path))
    (tmp_path / "README.md").touch()
    assert read_set(tmp_path) == Manifest(0, "light", {})
    (tmp_path / "a").mkdir()
    with pytest.raises(UserError, match=r"holds a, not listed in its manifest\.json"):
        read_set(tmp_path)

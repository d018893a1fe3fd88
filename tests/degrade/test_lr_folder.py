"""An LR set's folder: held by one process, and never taken for what it is not."""

import os
from pathlib import Path

import pytest

from dcvsr.degrade.lr_folder import PREVIEW, add, begun, held, is_whole, manifest_path, unfinished
from dcvsr.degrade.manifest import Entry, Manifest
from dcvsr.runtime.errors import UserError
from tests.degrade.making import files, images, write_png


def entry(digest: str | None = "0") -> Entry:
    return Entry("a", 2, (64, 64), (16, 16), {}, "f", digest)


def test_a_folder_is_held_by_one_and_free_again(tmp_path: Path) -> None:
    for _ in range(2):
        with (
            held(tmp_path / "new/lr"),
            pytest.raises(UserError, match="lr is being written by another process; wait for it"),
            held(tmp_path / "new/lr"),
        ):
            pass


def test_another_s_block_is_not_taken_for_a_held_folder(tmp_path: Path) -> None:
    with pytest.raises(BlockingIOError), held(tmp_path):
        raise BlockingIOError


def test_nothing_is_begun_where_nothing_shows(tmp_path: Path) -> None:
    assert begun(tmp_path / "none") is None
    (tmp_path / ".a.part").mkdir()
    (tmp_path / PREVIEW).touch()
    (tmp_path / f"manifest.json.{os.getpid()}.part").touch()
    assert begun(tmp_path) is None


def test_a_clip_is_in_its_place_and_in_the_manifest(tmp_path: Path) -> None:
    write_png(unfinished(tmp_path, "a"), images(2, 16, 16))
    written = add(tmp_path, Manifest(0, "light", {}), "a", entry())
    assert begun(tmp_path) == written
    assert is_whole(tmp_path, "a", entry())
    assert not unfinished(tmp_path, "a").exists()


def test_a_clip_made_again_takes_the_place_of_what_is_left_of_it(tmp_path: Path) -> None:
    write_png(tmp_path / "a", images(1, 8, 8), first=7)
    write_png(unfinished(tmp_path, "a"), images(2, 16, 16))
    made = files(unfinished(tmp_path, "a"))
    add(tmp_path, Manifest(0, "light", {}, clips={"a": entry()}), "a", entry())
    assert files(tmp_path / "a") == made


def test_a_clip_made_again_must_be_the_same_if_it_was_ever_made(tmp_path: Path) -> None:
    known = Manifest(0, "light", {}, clips={"a": entry("1")})
    write_png(unfinished(tmp_path, "a"), images(2, 16, 16))
    with pytest.raises(UserError, match="clip a, made again, is not what"):
        add(tmp_path, known, "a", entry("0"))
    assert not files(tmp_path)
    write_png(unfinished(tmp_path, "a"), images(2, 16, 16))
    assert add(tmp_path, Manifest(0, "light", {}, clips={"a": entry(None)}), "a", entry()).clips == {
        "a": entry()
    }


def test_a_clip_with_a_frame_too_few_or_none_is_not_whole(tmp_path: Path) -> None:
    assert not is_whole(tmp_path, "a", entry())
    (tmp_path / "a").mkdir()
    assert not is_whole(tmp_path, "a", entry())
    write_png(tmp_path / "b", images(1, 16, 16))
    assert not is_whole(tmp_path, "b", entry())


def test_a_stranger_s_folder_is_refused_and_a_stranger_s_file_is_not(tmp_path: Path) -> None:
    Manifest(0, "light", {}).write(manifest_path(tmp_path))
    (tmp_path / "README.md").touch()
    assert begun(tmp_path) == Manifest(0, "light", {})
    (tmp_path / "a").mkdir()
    with pytest.raises(UserError, match=r"holds a, of which its manifest\.json does not know"):
        begun(tmp_path)

"""Tests of finding, selecting and reading the HR clips of an LR set."""

import pickle
import shutil
from pathlib import Path

import pytest
import torch

from dcvsr.degrade.hr_clips import ImageFolder, VideoFile, require_multiples, select_clips, sources_in
from dcvsr.runtime.errors import UserError
from dcvsr.video.io import read_video
from tests.data.making import make_video
from tests.degrade.making import SIZES, images, make_hr, write_png


@pytest.fixture(scope="module")
def hr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_hr(tmp_path_factory.mktemp("sources") / "hr")


def test_videos_and_folders_are_clips_and_other_files_are_named(hr: Path, tmp_path: Path, caplog) -> None:
    hr = Path(shutil.copytree(hr, tmp_path / "hr"))
    (hr / "notes.txt").touch()
    (hr / "d.M2TS").touch()
    (hr / ".hidden").mkdir(exist_ok=True)
    sources = sources_in(hr)
    assert list(sources) == ["a", "b", "c", "d"]
    assert [type(source) for source in sources.values()] == [VideoFile, ImageFolder, ImageFolder, VideoFile]
    assert caplog.messages == [f"{hr}: not videos, and skipped: notes.txt"]


@pytest.mark.parametrize("name", SIZES)
def test_shape_and_frames_of_a_clip_equal_those_of_read_video(hr: Path, name: str) -> None:
    source = sources_in(hr)[name]
    frames, height, width = SIZES[name]
    opened = source.open()
    assert source.shape == opened.shape == (frames, 3, height, width)
    whole = read_video(source.path)
    assert torch.equal(torch.stack(list(opened)), whole.frames)
    assert torch.equal(opened.read(1), whole.frames[1])
    if whole.names:
        assert opened.names == whole.names == tuple(str(number) for number in range(1, frames + 1))


def test_a_clip_with_a_cached_shape_can_be_pickled(hr: Path) -> None:
    sources = sources_in(hr)
    assert sources
    for source in sources.values():
        there = pickle.loads(pickle.dumps((source, source.shape)))
        assert there == (source, source.shape)


def test_the_shape_of_a_rotated_video_is_that_of_display(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", images(2, 32, 48), rotation=(90, False, False))
    source = VideoFile(video, "a")
    assert source.shape == source.open().shape == (2, 3, 48, 32)


@pytest.mark.parametrize("name", ["b", "a.mp4"])
def test_a_single_clip_has_the_same_name_as_in_a_folder(hr: Path, name: str) -> None:
    [(key, source)] = sources_in(hr / name).items()
    assert (key, source) == (name[0], sources_in(hr)[name[0]])


def test_hr_of_udm10_is_read_from_truth(tmp_path: Path) -> None:
    write_png(tmp_path / "archpeople/truth", images(2, 16, 20))
    write_png(tmp_path / "archpeople/blur4", images(2, 4, 4))
    assert sources_in(tmp_path)["archpeople"].open().shape == (2, 3, 16, 20)


def test_clips_are_selected_by_name_in_their_order() -> None:
    clips = {"a": 1, "b": 2, "c": 3}
    assert select_clips(clips, Path("hr"), None, ()) == clips
    assert list(select_clips(clips, Path("hr"), ["c", "a"], ())) == ["a", "c"]
    assert select_clips(clips, Path("hr"), ["c", "a"], ["a"]) == {"c": 3}
    with pytest.raises(UserError, match="hr has no clip x, y; it has a, b, c"):
        select_clips(clips, Path("hr"), ["a", "x"], ["y"])
    with pytest.raises(UserError, match="hr has no clip x; it has none"):
        select_clips({}, Path("hr"), ["x"], ())
    for none in ([], ["a"]):
        with pytest.raises(UserError, match="no clip of hr is left"):
            select_clips(clips, Path("hr"), none, ["a"])


def test_all_clips_with_wrong_sizes_are_named_in_one_error(tmp_path: Path) -> None:
    sizes = {"high": (34, 32), "wide": (32, 34), "good": (32, 36)}
    for name, size in sizes.items():
        write_png(tmp_path / name, images(1, *size))
    sources = sources_in(tmp_path)
    with pytest.raises(UserError, match=r"high \(32x34\), wide \(34x32\) are not.* 'exclude=\[high,wide\]'"):
        require_multiples(sources, 4)
    require_multiples(sources, 2)

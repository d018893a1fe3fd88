"""The clips that an LR set is made from."""

import pickle
from pathlib import Path

import pytest
import torch

from dcvsr.degrade.hr_clips import ImageFolder, VideoFile, chosen, require_multiples, sources_in
from dcvsr.runtime.errors import UserError
from dcvsr.video.io import read_video
from tests.data.making import make_video
from tests.degrade.making import SIZES, images, make_hr, write_png


@pytest.fixture(scope="module")
def hr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_hr(tmp_path_factory.mktemp("sources") / "hr")


def test_videos_and_folders_are_clips_and_the_rest_is_none(hr: Path) -> None:
    (hr / "notes.txt").touch()
    (hr / ".hidden").mkdir(exist_ok=True)
    sources = sources_in(hr)
    assert list(sources) == ["a", "b", "c"]
    assert [type(source) for source in sources.values()] == [VideoFile, ImageFolder, ImageFolder]


@pytest.mark.parametrize("name", SIZES)
def test_a_clip_is_as_announced_and_as_it_is_read_otherwise(hr: Path, name: str) -> None:
    source = sources_in(hr)[name]
    frames, height, width = SIZES[name]
    opened = source.open()
    assert source.shape == opened.shape == (frames, 3, height, width)
    whole = read_video(source.path)
    assert torch.equal(torch.stack(list(opened)), whole.frames)
    assert torch.equal(opened.read(1), whole.frames[1])
    if whole.names:
        assert opened.names == whole.names == tuple(str(number) for number in range(1, frames + 1))


def test_a_clip_whose_shape_was_asked_for_can_be_sent_to_a_process(hr: Path) -> None:
    sources = sources_in(hr)
    assert sources
    for source in sources.values():
        there = pickle.loads(pickle.dumps((source, source.shape)))
        assert there == (source, source.shape)


def test_a_turned_video_is_announced_as_it_is_shown(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", images(2, 32, 48), rotation=(90, False, False))
    source = VideoFile(video, "a")
    assert source.shape == source.open().shape == (2, 3, 48, 32)


@pytest.mark.parametrize("name", ["b", "a.mp4"])
def test_a_clip_alone_has_the_name_it_has_among_others(hr: Path, name: str) -> None:
    [(key, source)] = sources_in(hr / name).items()
    assert (key, source) == (name[0], sources_in(hr)[name[0]])


def test_udm10_keeps_its_hr_in_truth(tmp_path: Path) -> None:
    write_png(tmp_path / "archpeople/truth", images(2, 16, 20))
    write_png(tmp_path / "archpeople/blur4", images(2, 4, 4))
    assert sources_in(tmp_path)["archpeople"].open().shape == (2, 3, 16, 20)


def test_clips_are_chosen_by_name_in_the_order_they_have() -> None:
    clips = {"a": 1, "b": 2, "c": 3}
    assert chosen(clips, Path("hr"), None, ()) == clips
    assert list(chosen(clips, Path("hr"), ["c", "a"], ())) == ["a", "c"]
    assert chosen(clips, Path("hr"), ["c", "a"], ["a"]) == {"c": 3}
    with pytest.raises(UserError, match="hr has no clip x, y; it has a, b, c"):
        chosen(clips, Path("hr"), ["a", "x"], ["y"])
    with pytest.raises(UserError, match="hr has no clip x; it has none"):
        chosen({}, Path("hr"), ["x"], ())
    for none in ([], ["a"]):
        with pytest.raises(UserError, match="no clip of hr is left"):
            chosen(clips, Path("hr"), none, ["a"])


def test_sides_that_are_no_multiples_are_told_all_at_once(tmp_path: Path) -> None:
    sizes = {"high": (34, 32), "wide": (32, 34), "good": (32, 36)}
    for name, size in sizes.items():
        write_png(tmp_path / name, images(1, *size))
    sources = sources_in(tmp_path)
    with pytest.raises(UserError, match=r"high \(32x34\), wide \(34x32\) are not.* 'exclude=\[high,wide\]'"):
        require_multiples(sources, 4)
    require_multiples(sources, 2)

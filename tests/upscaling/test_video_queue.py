"""Tests of upscaling a folder of videos."""

import os
import shutil

import pytest

from dcvsr.runtime.errors import UserError
from dcvsr.upscaling.video_queue import is_queue, is_up_to_date, queued_videos
from dcvsr.video.io import read_video
from tests.data.making import make_video, noise


@pytest.fixture
def videos(tmp_path):
    """A folder of two videos, a folder of frames, and two other files."""
    folder = tmp_path / "videos"
    (folder / "frames").mkdir(parents=True)
    make_video(folder / "a.mp4", noise(2, 16, 24))
    make_video(folder / "b.avi", noise(3, 16, 24), "mpeg4")
    from PIL import Image

    for index, image in enumerate(noise(2, 16, 24)):
        Image.fromarray(image).save(folder / "frames" / f"{index}.png")
    (folder / "notes.txt").write_text("not a video")
    (folder / ".hidden.mp4").write_text("not seen")
    return folder


def upscale(run, *arguments):
    return run("upscale", "upscaler=bicubic", "input=videos", "output=out", *arguments)


def test_every_video_is_upscaled(run, videos, tmp_path):
    done = upscale(run)
    assert done.code == 0, done.err
    sizes = {name: read_video(tmp_path / "out" / name).frames.shape for name in ("a.mp4", "b.mkv", "frames")}
    assert sizes == {"a.mp4": (2, 3, 64, 96), "b.mkv": (3, 3, 64, 96), "frames": (2, 3, 64, 96)}
    assert "not videos, and skipped: notes.txt" in done.out + done.err
    assert "a.mp4   2 frames of 96x64" in done.out


def test_a_failing_video_is_reported_and_the_others_are_made(run, videos, tmp_path):
    (videos / "aa.mp4").write_bytes(b"junk")
    done = upscale(run)
    assert (done.code, done.err.splitlines()[-1]) == (2, "dcvsr: 1 of 4 videos failed: aa.mp4")
    assert "aa.mp4  failed: " in done.out
    assert (tmp_path / "out" / "b.mkv").exists()
    assert not (tmp_path / "out" / "aa.mp4").exists()


def test_what_is_done_is_skipped_the_next_time(run, videos, tmp_path):
    assert upscale(run).code == 0
    before = (tmp_path / "out" / "a.mp4").stat().st_mtime_ns
    (tmp_path / "out" / "b.mkv").unlink()
    again = upscale(run)
    assert again.code == 0, again.err
    assert "a.mp4   exists" in again.out
    assert (tmp_path / "out" / "a.mp4").stat().st_mtime_ns == before
    assert (tmp_path / "out" / "b.mkv").exists()


def test_a_dry_run_writes_nothing(run, videos, tmp_path):
    assert upscale(run, "dry_run=true").code == 0
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("x.mp4", "must name a folder"),
        ("videos", "is the input's folder"),
        ("file", "must name a folder"),
    ],
)
def test_an_output_that_cannot_be_the_folder_is_refused(run, videos, tmp_path, output, message):
    (tmp_path / "file").touch()
    done = run("upscale", "upscaler=bicubic", "input=videos", f"output={output}")
    assert done.code == 2
    assert message in done.err


def test_two_videos_with_one_output_are_refused(videos, tmp_path):
    shutil.copy(videos / "b.avi", videos / "b.mkv")
    with pytest.raises(UserError, match=r"b\.avi and .*b\.mkv would both become .*b\.mkv; rename one"):
        queued_videos(videos, tmp_path / "out")


def test_a_folder_of_frames_is_no_queue(videos, tmp_path):
    assert is_queue(videos)
    assert not is_queue(videos / "frames")
    assert not is_queue(videos / "a.mp4")
    shutil.copy(videos / "frames" / "0.png", videos)
    assert not is_queue(videos)


@pytest.mark.parametrize(
    ("overwrite", "age", "stays"),
    [("never", 9, True), ("always", -9, False), ("newer", -9, True), ("newer", 9, False)],
)
def test_an_output_stays_by_its_key_and_age(tmp_path, overwrite, age, stays):
    """``age``: seconds by which the input is newer."""
    source, output = tmp_path / "a.mp4", tmp_path / "b.mp4"
    source.touch()
    assert not is_up_to_date(source, output, overwrite)
    output.touch()
    os.utime(source, (1000 + age, 1000 + age))
    os.utime(output, (1000, 1000))
    assert is_up_to_date(source, output, overwrite) == stays


def test_one_video_is_replaced_unless_it_shall_not_be(run, clip, tmp_path):
    arguments = "upscale", "upscaler=bicubic", f"input={clip}", "output=b.mp4"
    (tmp_path / "b.mp4").write_text("mine")
    assert run(*arguments, "overwrite=never").code == 0
    assert (tmp_path / "b.mp4").read_text() == "mine"
    assert run(*arguments).code == 0
    assert (tmp_path / "b.mp4").stat().st_size > 100

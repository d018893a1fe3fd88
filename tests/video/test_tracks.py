"""Tests of copying audio and subtitles: packets, timing, languages, and containers that cannot hold them."""

from collections.abc import Iterator
from pathlib import Path

import av
import pytest
import torch

from dcvsr.runtime.errors import UserError
from dcvsr.video.io import read_video, to_unit, write_video
from tests.data.making import add_subtitles, make_video, noise, packets, start


def fail_if_iterated() -> Iterator[torch.Tensor]:
    pytest.fail("a frame was requested")
    yield torch.zeros(0)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize(("origin", "codec"), [("s.mp4", "aac"), ("s.mkv", "ac3"), ("s.avi", "libmp3lame")])
def test_audio_is_copied_bit_for_bit(tmp_path: Path, suffix: str, origin: str, codec: str) -> None:
    source = make_video(tmp_path / origin, noise(30), audio=codec)
    video = read_video(source)
    write_video(tmp_path / f"a{suffix}", to_unit(video.frames).split(7), video, crf=20)
    assert packets(source, "audio") == packets(tmp_path / f"a{suffix}", "audio")
    assert len(packets(source, "audio")) > 10


@pytest.mark.parametrize(("origin", "output"), [("s.mp4", "a.mkv"), ("s.mkv", "a.mp4")])
def test_the_audio_language_survives(tmp_path: Path, origin: str, output: str) -> None:
    video = read_video(make_video(tmp_path / origin, noise(3), audio="aac"))
    write_video(tmp_path / output, to_unit(video.frames), video, crf=20)
    with av.open(str(tmp_path / output)) as container:
        assert container.streams.audio[0].language == "swe"


def test_audio_of_a_transport_stream_stays_in_sync(tmp_path: Path) -> None:
    source = make_video(tmp_path / "s.ts", noise(30), audio="aac", options={"output_ts_offset": "100"})
    video = read_video(source)
    write_video(tmp_path / "a.mp4", to_unit(video.frames), video, crf=20)
    target = tmp_path / "a.mp4"
    before, after = (start(path, "video") - start(path, "audio") for path in (source, target))
    assert abs(before - after) < 1e-3
    assert start(source, "video") > start(source, "audio") > 99
    assert min(start(target, "video"), start(target, "audio")) == 0


def test_audio_that_the_container_cannot_hold_is_an_error_before_any_frame_is_requested(
    tmp_path: Path,
) -> None:
    video = read_video(make_video(tmp_path / "s.mkv", noise(30), audio="libopus"))
    with pytest.raises(
        UserError, match=r"\.mov cannot hold audio track 1 \(opus\) of .*s\.mkv; write to \.mp4 or \.mkv"
    ):
        write_video(tmp_path / "a.mov", fail_if_iterated(), video, crf=20)
    assert [path.name for path in tmp_path.iterdir()] == ["s.mkv"]


@pytest.mark.parametrize(("name", "kept"), [("a.mkv", True), ("a.mp4", False)])
def test_subtitles_are_copied_or_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, kept: bool
) -> None:
    silent = make_video(tmp_path / "silent.mkv", noise(5))
    add_subtitles(tmp_path / "s.mkv", silent, {"hello": (0, 1000)})
    video = read_video(tmp_path / "s.mkv")
    write_video(tmp_path / name, to_unit(video.frames), video, crf=20)
    with av.open(str(tmp_path / name)) as container:
        assert len(container.streams.subtitles) == kept
    assert ("subtitles" in caplog.text) != kept
    assert not kept or packets(tmp_path / name, "subtitles") == [b"hello"]

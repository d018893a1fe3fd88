"""Tests of the warnings that name what an output lacks: tracks, tags, flags, chapters, side data."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.stream import Disposition

from dcvsr.video.io import read_video, to_unit, write_video
from dcvsr.video.lost_content import losses
from tests.data.making import add_subtitles, make_tracks, make_video, noise


def labelled(path: Path, plain: Path, **picture: str) -> Path:
    """Copy ``plain`` with tags of the file and of its picture, a flag, a language, and two chapters."""
    with av.open(str(plain)) as before, av.open(str(path), "w") as after:
        after.metadata.update({"title": "My film", "DIRECTOR": "Me\nagain"})
        tracks = [after.add_stream_from_template(stream) for stream in before.streams]
        tracks[0].metadata.update(picture)
        for track in tracks[1:]:
            track.metadata.update({"title": "Main", "language": "fre"})
            track.disposition = Disposition.comment
        half = {"end": 40, "start": 0, "time_base": Fraction(1, 1000)}
        halves: Any = [
            {**half, "id": 0, "metadata": {"title": "One"}},
            {**half, "id": 1, "start": 40, "end": 80, "metadata": {"title": "Two"}},
        ]
        after.set_chapters(halves)
        for packet in before.demux():
            if packet.size:
                packet.stream = tracks[packet.stream.index]
                after.mux(packet)
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return labelled(tmp_path / "s.mkv", make_tracks(tmp_path / "plain.mkv", ["libx264", "aac"]))


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("a.mkv", None),
        ("a.mp4", "tags DIRECTOR (Me again)"),
        ("a.mov", "tags language (fre) of audio track 1 (aac); flags comment of audio track 1 (aac)"),
    ],
)
def test_one_warning_names_the_tags_and_flags_that_the_container_does_not_hold(
    tmp_path: Path, source: Path, caplog: pytest.LogCaptureFixture, name: str, lost: str | None
) -> None:
    video = read_video(source)
    write_video(tmp_path / name, to_unit(video.frames), video)
    assert [record.getMessage() for record in caplog.records] == (
        [f"{source}: {name} does not keep {lost}"] if lost else []
    )


def test_a_folder_of_pngs_is_warned_of_before_the_first_frame(
    tmp_path: Path, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video = read_video(source)

    def frames():
        assert len(caplog.records) == 1
        yield to_unit(video.frames)

    write_video(tmp_path / "a", frames(), video)
    [record] = caplog.records
    assert record.getMessage() == (
        f"{source}: a folder of PNGs holds frames only; leaving out frame rate and times, "
        "audio track 1 (aac), chapters One, Two, tags title (My film), DIRECTOR (Me again)"
    )


def test_tracks_chapters_and_side_data_that_a_file_lacks_are_named(tmp_path: Path) -> None:
    plain = make_tracks(tmp_path / "plain.mkv", ["libx264", "aac", "aac"])
    source = labelled(tmp_path / "s.mkv", plain, stereo_mode="left_right")
    bare = make_tracks(tmp_path / "bare.mkv", ["libx264", "aac"])
    assert losses(source, bare) == [
        "audio track 2 (aac)",
        "chapters One, Two",
        "side data stereo 3d",
        "tags title (My film), DIRECTOR (Me again)",
        "tags stereo_mode (left_right) of video track 0 (h264)",
        "tags language (fre), title (Main) of audio track 1 (aac)",
        "flags comment of audio track 1 (aac)",
    ]
    assert losses(source, bare, ["audio track 1 (aac)", "audio track 2 (aac)"])[0].startswith("chapters")
    assert losses(source, bare, audio="none")[0].startswith("chapters")
    assert "chapters Two" in losses(source, bare, span=(Fraction(1, 20), None))
    assert losses(source, source) == []


def test_tracks_that_were_warned_of_before_are_not_named_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add_subtitles(tmp_path / "s.mkv", make_video(tmp_path / "plain.mkv", noise(3)), {"hello": (0, 80)})
    video = read_video(tmp_path / "s.mkv")
    write_video(tmp_path / "a.mp4", to_unit(video.frames), video)
    assert len(caplog.records) == 1


def test_a_second_video_track_is_named_in_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_tracks(tmp_path / "s.mkv", ["libx264", "mpeg2video", "aac"])
    video = read_video(source)
    write_video(tmp_path / "a.mkv", to_unit(video.frames), video)
    lost = "one video track is upscaled; leaving out video track 1 (mpeg2video)"
    assert caplog.messages == [f"{source}: {lost}"]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_the_title_of_a_track_comes_back_from_mp4(tmp_path: Path, source: Path, name: str) -> None:
    for before, after in ((source, tmp_path / "b.mp4"), (tmp_path / "b.mp4", tmp_path / name)):
        video = read_video(before)
        write_video(after, to_unit(video.frames), video)
    with av.open(str(tmp_path / name)) as file:
        assert file.streams.audio[0].metadata["name" if name == "a.mp4" else "title"] == "Main"

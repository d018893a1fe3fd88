"""Tests of titles, chapters, languages, dispositions, attachments and cover art."""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
import torch
from av.stream import Disposition
from PIL import Image

from dcvsr.video.io import read_video, to_unit, write_video
from dcvsr.video.memory import Video
from dcvsr.video.part import Part
from dcvsr.video.reader import open_frames
from tests.data.making import make_tracks


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Matroska file of a second with all that a file can have beside the picture."""
    folder = tmp_path_factory.mktemp("film")
    cover, words = io.BytesIO(), b"1\n00:00:00,000 --> 00:00:00,800\nhello\n"
    Image.new("RGB", (8, 8), "red").save(cover, "JPEG")
    flags = (Disposition.default, Disposition.default, Disposition.comment, Disposition.forced)
    with (
        av.open(str(make_tracks(folder / "silent.mkv", ["libx264", "aac", "aac"], 25))) as silent,
        av.open(io.BytesIO(words), format="srt") as subtitles,
        av.open(str(folder / "film.mkv"), "w") as file,
    ):
        file.metadata.update(title="My film", artist="Me", odd="tag")
        chapters: Any = [
            {
                "id": i,
                "start": 4 * i,
                "end": 4 * i + 4,
                "time_base": Fraction(1, 10),
                "metadata": {"title": t},
            }
            for i, t in enumerate(("One", "Two"))
        ]
        file.set_chapters(chapters)
        sources = [*silent.streams, *subtitles.streams]
        tracks = [file.add_stream_from_template(stream, opaque=True) for stream in sources]
        for track, flag, title in zip(tracks, flags, ("Picture", "Main", "Comments", "Words"), strict=True):
            track.disposition = flag
            track.metadata.update(title=title, language="ger")
        file.add_attachment("a.ttf", "application/x-truetype-font", b"font")
        file.add_attachment("cover.jpg", "image/jpeg", cover.getvalue())
        for source, place in ((silent, 0), (subtitles, 3)):
            for packet in source.demux():
                if packet.size:
                    packet.stream = tracks[place + packet.stream.index]
                    file.mux(packet)
    return folder / "film.mkv"


def written(film: Path, output: Path, **keys: Any) -> Path:
    """Write the film, or a part of it, anew."""
    with open_frames(film, part=Part.parsed(**keys)) as reader:
        frames = torch.stack(list(reader))
    write_video(output, to_unit(frames), Video(frames, **vars(reader.metadata)))
    return output


def content(path: Path) -> list[tuple[str, str | None, str | None, int]]:
    """Return type, title, language and disposition of each track but the one that MP4 keeps chapters in."""
    with av.open(str(path)) as file:
        return [
            (s.type, s.metadata.get("title") or s.metadata.get("name"), s.language, int(s.disposition))
            for s in file.streams
            if s.type != "data"
        ]


def chapters(path: Path) -> list[tuple[str, Fraction, Fraction]]:
    with av.open(str(path)) as file:
        return [
            (c["metadata"]["title"], c["start"] * c["time_base"], c["end"] * c["time_base"])
            for c in file.chapters()
            if c["time_base"]
        ]


def test_all_of_a_film_is_kept_in_matroska(
    film: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = written(film, tmp_path / "a.mkv")
    assert content(result) == content(film)
    assert (
        chapters(result)
        == chapters(film)
        == [("One", 0, Fraction(2, 5)), ("Two", Fraction(2, 5), Fraction(4, 5))]
    )
    with av.open(str(film)) as before, av.open(str(result)) as after:
        assert after.metadata["title"] == "My film"
        assert {key.lower(): value for key, value in after.metadata.items()} == {
            key.lower(): value for key, value in before.metadata.items()
        }
        assert [s.data for s in after.streams.attachments] == [b"font"]
        covers = [next(file.demux(file.streams.video[1])) for file in (before, after)]
        assert bytes(covers[0]) == bytes(covers[1]) != b""
    assert not caplog.records


@pytest.mark.parametrize(
    ("suffix", "left_out"),
    [
        (".mp4", "subtitle track 3 (subrip), attachment track 4 (a.ttf)"),
        (".mov", "subtitle track 3 (subrip), attachment track 4 (a.ttf), video track 5 (mjpeg)"),
    ],
)
def test_what_mp4_and_mov_hold_of_a_film_is_kept_and_the_rest_is_named(
    film: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, suffix: str, left_out: str
) -> None:
    result = written(film, tmp_path / f"a{suffix}")
    expected = content(film)[:3] + (content(film)[5:] if suffix == ".mp4" else [])
    assert [track[:2] for track in content(result)] == [(kind, title) for kind, title, *_ in expected]
    assert {track[2] for track in content(result)[:3]} == {"ger"}
    assert chapters(result) == chapters(film)
    with av.open(str(result)) as file:
        tags = {key.lower(): value for key, value in file.metadata.items()}
    assert (tags["title"], tags["artist"], tags.get("odd")) == (
        "My film",
        "Me",
        "tag" if suffix == ".mov" else None,
    )
    assert f"{suffix} cannot hold {left_out}; leaving out" in caplog.text


@pytest.mark.parametrize(
    ("start", "frames", "kept"),
    [
        (0, 5, [("One", 0, Fraction(1, 5))]),
        (5, 10, [("One", 0, Fraction(1, 5)), ("Two", Fraction(1, 5), Fraction(2, 5))]),
        (15, None, [("Two", 0, Fraction(1, 5))]),
    ],
)
def test_chapters_of_a_part_are_cut_to_it(
    film: Path, tmp_path: Path, start: int, frames: int | None, kept: list[tuple[str, Fraction, Fraction]]
) -> None:
    assert chapters(written(film, tmp_path / "a.mkv", start=start, frames=frames)) == kept


def test_the_default_picture_is_read_and_then_the_largest(tmp_path: Path) -> None:
    source = make_tracks(
        tmp_path / "s.mkv", ["libx264", "mpeg2video", "mpeg2video"], sizes=[(48, 32), (64, 64), (64, 64)]
    )
    with av.open(str(source)) as before, av.open(str(tmp_path / "d.mkv"), "w") as after:
        for stream in before.streams:
            after.add_stream_from_template(stream, opaque=True).disposition = Disposition(stream.index == 0)
        for packet in before.demux():
            if packet.size:
                packet.stream = after.streams[packet.stream.index]
                after.mux(packet)
    assert read_video(source).frames.shape[2:] == (64, 64)
    assert read_video(tmp_path / "d.mkv").frames.shape[2:] == (32, 48)

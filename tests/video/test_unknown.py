"""Tests of what FFmpeg or PyAV cannot name: tracks of each type, the picture, and side data of frames."""

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from dcvsr.runtime.errors import UserError
from dcvsr.video.io import read_video, to_unit, write_video
from tests.data.making import add_subtitles, make_tracks, make_video, noise, packets


def subtitles(folder: Path) -> Path:
    path = add_subtitles(folder / "s.mkv", make_video(folder / "v.mkv", noise(4)), {"hello": (0, 100)})
    return patched(path, b"S_TEXT/UTF8", b"S_TEXT/UTF9")


def audio(folder: Path) -> Path:
    """Return a MOV with a second audio track of the codec ``apac``, as iPhones record it."""
    path = make_tracks(folder / "s.mov", ["libx264", "aac", "aac"])
    data = bytearray(path.read_bytes())
    start = data.find(b"mp4a", data.rfind(b"stsd"))
    data[start : start + 4] = b"apac"
    for tag in (b"esds", b"mp4a", b"frma"):
        while (place := data.find(tag, start, start + 300)) >= 0:
            data[place : place + 4] = b"skip"
    path.write_bytes(data)
    return path


def video(folder: Path) -> Path:
    path = make_tracks(folder / "s.mkv", ["libx264", "mpeg2video", "aac"])
    return patched(path, b"V_MPEG2", b"V_MPEG9")


def attachment(folder: Path) -> Path:
    path = folder / "s.mkv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1", 25)
        stream.width, stream.height = 48, 32
        file.add_attachment("a.xyz", "application/x-none", b"data")
        file.mux([*stream.encode(av.VideoFrame(48, 32, "yuv420p")), *stream.encode(None)])
    return path


def data(folder: Path) -> Path:
    """Return a MOV whose timecode has another tag and handler."""
    with av.open(str(folder / "s.mov"), "w") as file:
        file.metadata["timecode"] = "01:00:00:00"
        stream = file.add_stream("mpeg4", 25)
        stream.width, stream.height = 48, 32
        file.mux([*stream.encode(av.VideoFrame(48, 32, "yuv420p")), *stream.encode(None)])
    return patched(folder / "s.mov", b"tmcd", b"zzzz")


def patched(path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (subtitles, "subtitle track 1 (unknown)"),
        (audio, "audio track 2 (apac)"),
        (video, "video track 1 (unknown)"),
        (data, "data track 1 (zzzz)"),
    ],
)
def test_an_unknown_track_is_left_out_with_one_warning_that_names_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make: Callable[[Path], Path], name: str, suffix: str
) -> None:
    source, target = make(tmp_path), tmp_path / f"a{suffix}"
    whole = read_video(source)
    write_video(target, to_unit(whole.frames), whole, crf=20)
    assert [record.getMessage() for record in caplog.records] == [
        f"{source}: {suffix} cannot hold {name}; leaving out"
    ]
    with av.open(str(source)) as before, av.open(str(target)) as after:
        assert len(after.streams) == len(before.streams) - 1
        heard = bool(before.streams.audio)
    assert not heard or packets(source, "audio") == packets(target, "audio") != []


@pytest.mark.parametrize(("suffix", "kept"), [(".mkv", True), (".mp4", False)])
def test_an_attachment_of_an_unknown_type_is_kept_or_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, suffix: str, kept: bool
) -> None:
    whole = read_video(attachment(tmp_path))
    write_video(tmp_path / f"a{suffix}", to_unit(whole.frames), whole)
    with av.open(str(tmp_path / f"a{suffix}")) as after:
        assert [stream.data for stream in after.streams.attachments] == [b"data"] * kept
    assert ("attachment track 1 (a.xyz)" in caplog.text) != kept


def test_a_picture_of_an_unknown_codec_is_not_called_damaged(tmp_path: Path) -> None:
    source = patched(make_tracks(tmp_path / "s.mp4", ["libx264"]), b"avc1", b"zzz1")
    with pytest.raises(UserError, match=r"s\.mp4: FFmpeg has no decoder for video track 0 \(zzz1\)"):
        read_video(source)


def test_frames_with_side_data_that_pyav_cannot_name_are_read(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "maker"
    with av.open(str(tmp_path / "s.avi"), "w") as file:
        stream = file.add_stream("mjpeg", 25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuvj420p"
        for index in range(4):
            jpeg = io.BytesIO()
            Image.fromarray(np.full((32, 48, 3), 60 * index, np.uint8)).save(jpeg, "JPEG", exif=exif)
            packet = av.Packet(jpeg.getvalue())
            packet.stream, packet.pts, packet.dts = stream, index, index
            packet.time_base, packet.is_keyframe = Fraction(1, 25), True
            file.mux(packet)
    assert read_video(tmp_path / "s.avi").frames[:, 0, 0, 0].tolist() == pytest.approx(
        [0, 60, 120, 180], abs=3
    )

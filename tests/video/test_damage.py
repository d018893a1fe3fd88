"""Tests of packets without a frame, of their repair, and of healthy streams that must not raise an alarm."""

import zlib
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from dcvsr.runtime.errors import UserError
from dcvsr.video.io import read_video, to_unit, write_video
from dcvsr.video.memory import Video
from dcvsr.video.part import Part
from dcvsr.video.reader import open_frames
from tests.data.making import make_video, noise
from tests.video.field_pictures import field_pictures

HIDDEN = {"auto-alt-ref": "1", "lag-in-frames": "16", "b": "50000"}


def moving(path: Path, codec: str, options: dict[str, str], frames: int = 30) -> Path:
    """Return a video of a texture that moves."""
    texture = np.random.default_rng(0).integers(0, 255, (8, 40, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, 25, options)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for index in range(frames):
            image = np.ascontiguousarray(np.roll(texture, -4 * index, 1)[:, :64])
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        file.mux(stream.encode(None))
    return path


def copied(source: Path, target: Path, is_kept: Callable[[int], bool]) -> Path:
    """Copy the packets of a video whose numbers are kept."""
    with av.open(str(source)) as before, av.open(str(target), "w") as after:
        track = after.add_stream_from_template(before.streams.video[0], opaque=True)
        for number, packet in enumerate(before.demux(video=0)):
            if packet.size and is_kept(number):
                packet.stream = track
                after.mux(packet)
    return target


def read(path: Path, on_damage: str) -> Video:
    with open_frames(path, on_damage=on_damage) as reader:
        frames = torch.stack(list(reader))
    return Video(frames, **vars(reader.metadata))


@pytest.fixture(scope="module")
def lossy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return HEVC of 15 frames in one group of pictures that lacks three packets; FFmpeg decodes 4 of 12."""
    folder, options = tmp_path_factory.mktemp("lossy"), {"x265-params": "keyint=30:bframes=4:log-level=none"}
    return copied(
        moving(folder / "whole.mp4", "libx265", options, 15), folder / "s.mp4", lambda n: not 4 <= n < 7
    )


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {"bf": "4"}),
        ("a.mkv", "libx264", {"x264-params": "b-pyramid=normal:bframes=8:open-gop=1:keyint=12"}),
        ("a.ts", "libx264", {"x264-params": "interlaced=1:bframes=3"}),
        ("b.mp4", "libx265", {"x265-params": "keyint=12:bframes=8:log-level=none"}),
        ("b.ts", "libx265", {"x265-params": "interlace=1:log-level=none"}),
        ("c.ts", "mpeg2video", {"bf": "2"}),
        ("d.mpg", "mpeg2video", {"bf": "2", "flags": "+ildct+ilme"}),
        ("e.avi", "mpeg4", {"bf": "2"}),
        ("f.webm", "libvpx-vp9", HIDDEN),
        ("f.ivf", "libvpx-vp9", HIDDEN),
        ("g.webm", "libvpx", HIDDEN),
        ("h.mp4", "libsvtav1", {"preset": "12"}),
        ("i.avi", "mjpeg", {}),
    ],
)
def test_a_whole_video_raises_no_alarm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, codec: str, options: dict[str, str]
) -> None:
    source = moving(tmp_path / name, codec, options)
    for on_damage in ("error", "repeat"):
        assert len(read(source, on_damage).frames) == 30
    assert "do not decode" not in caplog.text
    assert "at the beginning" not in caplog.text


@pytest.mark.parametrize(("codec", "shown"), [("libvpx", 16), ("libvpx-vp9", 2)])
def test_hidden_frames_may_be_packets_of_their_own(tmp_path: Path, codec: str, shown: int) -> None:
    whole, hidden = moving(tmp_path / "whole.webm", codec, {"g": "1"}, 5), tmp_path / "hidden.avi"
    with av.open(str(whole)) as before, av.open(str(hidden), "w") as after:
        track = after.add_stream_from_template(before.streams.video[0], opaque=True)
        for packet in before.demux(video=0):
            if packet.size:
                assert packet.pts is not None
                data = bytes(packet)
                copy = av.Packet(bytes([data[0] & ~shown]) + data[1:])
                copy.pts = copy.dts = packet.pts + 1
                copy.time_base, copy.is_keyframe = packet.time_base, True
                for each in (packet, copy):
                    each.stream = track
                    after.mux(each)
    with av.open(str(hidden)) as container:
        assert sum(packet.size > 0 for packet in container.demux(video=0)) == 10
    assert len(read_video(hidden).frames) == len(read(hidden, "repeat").frames) == 5


@pytest.mark.parametrize("container", ["h264", "ts"])
def test_two_fields_are_one_frame(tmp_path: Path, container: str) -> None:
    fields = tmp_path / "s.h264"
    fields.write_bytes(field_pictures(5))
    if container == "ts":
        with av.open(str(fields)) as before, av.open(str(tmp_path / "s.ts"), "w") as after:
            track = after.add_stream_from_template(before.streams.video[0], opaque=True)
            for number, packet in enumerate(before.demux(video=0)):
                if packet.size:
                    packet.stream, packet.time_base = track, Fraction(1, 50)
                    packet.pts = packet.dts = number
                    after.mux(packet)
    path = tmp_path / f"s.{container}"
    with av.open(str(path)) as file:
        assert sum(packet.size > 0 for packet in file.demux(video=0)) == 10
    assert len(read_video(path).frames) == len(read(path, "repeat").frames) == 5


def test_packets_without_a_frame_are_an_error_that_names_their_number(lossy: Path) -> None:
    with pytest.raises(
        UserError, match=r"after 4 frames \(8 or more frames do not decode\); copy it again, or pass on"
    ):
        read_video(lossy)


def test_a_lost_packet_is_found_before_the_end_of_a_long_video(tmp_path: Path) -> None:
    whole = moving(tmp_path / "whole.mp4", "mpeg4", {"bf": "2", "g": "20"}, 200)
    lossy = copied(whole, tmp_path / "s.mp4", lambda n: not 20 <= n < 23)
    with open_frames(lossy, part=Part(0, 150)) as reader, pytest.raises(UserError, match="do not decode"):
        list(reader)


def test_lost_frames_are_repeated_at_their_times_or_dropped(
    lossy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    repeated, dropped = read(lossy, "repeat"), read(lossy, "drop")
    assert (len(repeated.frames), len(dropped.frames)) == (12, 4)
    with av.open(str(lossy)) as container:
        times = sorted(p.pts for p in container.demux(video=0) if p.pts is not None)
    assert list(repeated.pts) == times
    assert set(dropped.pts) < set(times)
    for index, time in enumerate(repeated.pts):
        shown = max(place for place, other in enumerate(dropped.pts) if other <= time)
        assert torch.equal(repeated.frames[index], dropped.frames[shown])
    assert [record.getMessage() for record in caplog.records] == [
        f"{lossy}: 8 frames do not decode; the frame before takes the place of {n}, {8 - n} are left out"
        for n in (8, 0)
    ]


@pytest.mark.parametrize("on_damage", ["repeat", "drop"])
def test_a_file_that_ends_early_is_read_to_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, on_damage: str
) -> None:
    path = make_video(tmp_path / "a.mp4", noise(30), options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[:-9000])
    assert 20 < len(read(path, on_damage).frames) < 30
    assert "a.mp4 is truncated" in caplog.text


def test_flipped_bytes_are_repaired(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = make_video(tmp_path / "a.mp4", noise(30), "mpeg4")
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 2, len(content) // 2 + 3000):
        content[place] ^= 0x5A
    path.write_bytes(content)
    assert len(read(path, "repeat").frames) == 30 > len(read(path, "drop").frames) > 10
    assert "do not decode" in caplog.text


def test_a_beginning_that_refers_to_frames_before_the_file_is_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = moving(tmp_path / "whole.ts", "libx264", {"x264-params": "open-gop=1:keyint=12:bframes=3"})
    video = read_video(copied(whole, tmp_path / "s.ts", lambda n: n >= 5))
    assert 12 < len(video.frames) < 25
    assert "s.ts: 7 frames at the beginning refer to frames before the file; leaving out" in caplog.text


def test_a_feature_that_ffmpeg_does_not_support_is_not_called_damage(tmp_path: Path) -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    path = make_video(tmp_path / "s.avi", [image], "png", "rgb24")
    content = bytearray(path.read_bytes())
    header = content.find(b"IHDR")
    content[header + 13] = 5  # a colour type that PNG does not have
    content[header + 17 : header + 21] = zlib.crc32(content[header : header + 17]).to_bytes(4)
    path.write_bytes(content)
    with pytest.raises(
        UserError, match=r"s\.avi: FFmpeg does not support this kind of video track 0 \(png\)"
    ):
        read_video(path)


def test_an_unknown_way_to_treat_damage_is_an_error(lossy: Path) -> None:
    with pytest.raises(
        UserError, match="on_damage=skip is not a way to treat damage; pass error, repeat, drop"
    ):
        read(lossy, "skip")


@pytest.mark.parametrize("captions", [b"GA94\x03\x41\xff\xfc\x94\x2c\xff", b"GA94\x06\x41"])
def test_closed_captions_in_the_picture_are_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, captions: bytes
) -> None:
    plain = make_video(tmp_path / "plain.h264", noise(3)).read_bytes()
    message = b"\xb5\x00\x31" + captions
    caption = b"\0\0\0\1\6\4" + bytes([len(message)]) + message + b"\x80"
    slices = (b"\0\0\1\x65", b"\0\0\1\x41", b"\0\0\1\x01")
    content = plain
    for start in slices:
        content = content.replace(start, caption + start)
    (tmp_path / "s.h264").write_bytes(content)
    assert len(read_video(tmp_path / "s.h264").frames) == 3
    assert caplog.text.count("closed captions") == (captions[4] == 3)


@pytest.mark.parametrize("has_audio", [True, False])
def test_a_frame_that_the_muxer_refuses_for_its_time_is_an_error_and_nothing_is_kept(
    tmp_path: Path, has_audio: bool
) -> None:
    source = make_video(tmp_path / "s.mkv", noise(5), audio="aac" if has_audio else None)
    video = read_video(source)
    late = replace(video, pts=(*video.pts[:4], 2**31 - 1))  # 24 days ahead, as FLV with one bit flipped
    with pytest.raises(UserError, match=r"FFmpeg could write 4 of 5 frames of a\.mov, because of"):
        write_video(tmp_path / "a.mov", to_unit(late.frames), late)
    assert [path.name for path in tmp_path.iterdir()] == ["s.mkv"]

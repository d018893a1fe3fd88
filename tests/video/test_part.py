"""Tests of reading and writing a part of a video: frames, times, region, audio, subtitles, and errors."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch
from omegaconf import OmegaConf

from dcvsr.runtime.errors import UserError
from dcvsr.video.colour import Colour
from dcvsr.video.io import read_video, to_unit, write_video
from dcvsr.video.memory import Video
from dcvsr.video.part import Part
from dcvsr.video.reader import open_frames
from tests.data.making import add_subtitles, make_video, noise
from tests.data.making import start as first_time
from tests.video.test_reader import make_folder, sources


def read(path: Path, **keys: object) -> Video:
    with open_frames(path, part=Part.parsed(**keys)) as reader:
        shape, frames = reader.shape, torch.stack(list(reader))
    assert tuple(frames.shape[2:]) == shape
    return Video(frames, **vars(reader.metadata))


def shown(path: Path, kind: str) -> dict[bytes, Fraction]:
    """Return the content of the packets of the first track of a kind, each with its time in seconds."""
    with av.open(f"file:{path}") as container:
        packets = [packet for packet in container.demux(**{kind: 0}) if packet.size]
    return {bytes(packet): (packet.pts or 0) * packet.time_base for packet in packets}


@pytest.mark.parametrize(("start", "frames"), [(0, 1), (0, 4), (1, 3), (2, None), (5, 1), (3, 99), (0, 6)])
def test_a_part_has_the_frames_of_the_whole_and_their_distances_in_time(
    tmp_path: Path, start: int, frames: int | None
) -> None:
    for path in sources(tmp_path).values():
        whole, part = read_video(path), read(path, start=start, frames=frames)
        kept = slice(start, None if frames is None else start + frames)
        assert torch.equal(part.frames, whole.frames[kept])
        assert part.names == whole.names[kept]
        assert part.pts == tuple(time - whole.pts[start] for time in whole.pts[kept])
        assert (part.rate, part.time_base, part.source) == (whole.rate, whole.time_base, path)


def test_no_part_is_the_whole_video(tmp_path: Path) -> None:
    for path in sources(tmp_path).values():
        assert vars(read(path)) | {"frames": 0} == vars(read_video(path)) | {"frames": 0}


def test_frames_before_a_part_are_not_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converted, to_rgb = [], Colour.to_rgb
    monkeypatch.setattr(Colour, "to_rgb", lambda *args: converted.append(args[1].pts) or to_rgb(*args))
    read(make_video(tmp_path / "a.mp4", noise(9)), start=4, frames=3)
    assert len(converted) == 3


def test_damage_after_a_part_is_not_an_error(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", noise(30))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(3000) + content[len(content) // 2 + 3000 :])
    with pytest.raises(UserError, match="damaged"):
        read(path)
    assert len(read(path, frames=5).frames) == 5


@pytest.mark.parametrize(("seconds", "frames"), [(0.12, 3), ("0.2", 5), (0.001, 1), (9, 6)])
def test_seconds_are_frames_by_the_average_rate(tmp_path: Path, seconds: float | str, frames: int) -> None:
    assert len(read(make_video(tmp_path / "a.mp4", noise()), seconds=seconds).frames) == frames


@pytest.mark.parametrize("region", ["8,4,30,17", [8, 4, 30, 17], OmegaConf.create([8, 4, 30, 17])])
def test_a_region_is_a_rectangle_of_the_upright_picture(tmp_path: Path, region: object) -> None:
    turned = make_video(tmp_path / "a.mkv", noise(3, 48, 32), "ffv1", "bgr0", rotation=(90, False, False))
    for path in (turned, make_folder(tmp_path / "frames", 3)):
        frames = read(path, region=region).frames
        assert torch.equal(frames, read_video(path).frames[:, :, 4:21, 8:38])


def test_a_region_does_not_keep_whole_frames_in_memory(tmp_path: Path) -> None:
    with open_frames(make_folder(tmp_path / "frames"), part=Part(region=(0, 0, 4, 2))) as reader:
        assert {frame.untyped_storage().nbytes() for frame in reader} == {3 * 4 * 2}


def test_length_is_that_of_the_part(tmp_path: Path) -> None:
    path = make_folder(tmp_path / "frames")
    for part, length in ((Part(2), 4), (Part(2, 3), 3), (Part(2, 9), 4), (Part(0, 1), 1)):
        with open_frames(path, part=part) as reader:
            assert reader.length == length


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"start": 6}, r"start=6 is beyond the end of .*, which has 6 frames"),
        ({"start": -1}, "start=-1 is not the number of a frame; pass 0 or more"),
        ({"start": 1.5}, "start=1.5 is not the number of a frame"),
        ({"frames": 0}, "frames=0 is not a number of frames; pass 1 or more"),
        ({"frames": True}, "frames=True is not a number of frames"),
        ({"frames": 2, "seconds": 1}, "frames=2 and seconds=1 exclude each other"),
        ({"seconds": 0}, "seconds=0 is not a length of time; pass a number above 0"),
        ({"seconds": "nan"}, "seconds=nan is not a length of time"),
        ({"region": "1,2,3"}, r"region=1,2,3 is not x,y,w,h in pixels; pass four whole numbers"),
        ({"region": 5}, r"region=5 is not x,y,w,h"),
        ({"region": [1, 2, 3, "a"]}, r"region=1,2,3,.a. is not x,y,w,h"),
        ({"region": "0,0,0,8"}, "region=0,0,0,8 is empty"),
        ({"region": "40,0,9,8"}, r"region=40,0,9,8 is not inside the picture of .*, which is 48x32"),
        ({"region": "0,-1,9,8"}, r"region=0,-1,9,8 is not inside the picture"),
        ({"region": "0,30,9,8"}, r"region=0,30,9,8 is not inside the picture"),
    ],
)
def test_a_part_that_a_video_does_not_have_is_an_error(
    tmp_path: Path, keys: dict[str, object], reason: str
) -> None:
    for path in (make_video(tmp_path / "a.mp4", noise()), make_folder(tmp_path / "frames")):
        with pytest.raises(UserError, match=reason) as caught:
            read(path, **keys)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("pts", [range(30), range(5, 35), [n + n * n // 20 for n in range(30)]])
@pytest.mark.parametrize(("start", "frames"), [(0, 4), (7, 9), (16, None)])
def test_audio_of_a_part_stays_in_sync_and_ends_with_it_within_a_packet(
    tmp_path: Path, suffix: str, pts: list[int], start: int, frames: int | None
) -> None:
    source = make_video(tmp_path / "s.mp4", noise(30), pts=pts, audio="aac")
    part, output = read(source, start=start, frames=frames), tmp_path / f"a{suffix}"
    write_video(output, to_unit(part.frames), part)
    assert part.span is not None
    (first, end), whole, copied = part.span, shown(source, "audio"), shown(output, "audio")
    packet, lag = Fraction(1024, 48000), min(shown(output, "video").values())
    expected = [data for data, time in whole.items() if time > first - packet and (end is None or time < end)]
    assert list(copied) == expected
    assert 4 <= len(expected) < len(whole)
    for data, time in copied.items():
        assert abs((time - lag) - (whole[data] - first)) <= Fraction(1, 1000)


def test_audio_of_a_part_of_a_transport_stream_starts_with_it(tmp_path: Path) -> None:
    source = make_video(tmp_path / "s.ts", noise(30), audio="aac", options={"output_ts_offset": "100"})
    part = read(source, start=12)
    write_video(tmp_path / "a.mp4", to_unit(part.frames), part)
    assert -Fraction(1024, 48000) < first_time(tmp_path / "a.mp4", "audio") <= 0
    assert first_time(tmp_path / "a.mp4", "video") == 0


@pytest.mark.parametrize(
    ("start", "frames", "kept"),
    [
        (0, 10, {"a": (0, 400)}),
        (5, 34, {"a": (0, 200), "b": (800, 560), "c": (1280, 80)}),
        (30, None, {"b": (0, 400), "c": (280, 7520)}),
        (12, 10, {}),
    ],
)
def test_subtitles_of_a_part_are_cut_to_it(
    tmp_path: Path, start: int, frames: int | None, kept: dict[str, tuple[int, int]]
) -> None:
    lines = {"a": (0, 400), "b": (1000, 1600), "c": (1480, 9000)}
    silent = make_video(tmp_path / "silent.mkv", noise(40))
    part = read(add_subtitles(tmp_path / "s.mkv", silent, lines), start=start, frames=frames)
    write_video(tmp_path / "a.mkv", to_unit(part.frames), part)
    with av.open(str(tmp_path / "a.mkv")) as container:
        stream = container.streams.subtitles[0]
        assert stream.time_base == Fraction(1, 1000)
        found = {bytes(p).decode(): (p.pts, p.duration) for p in container.demux(stream) if p.size}
    assert found == kept

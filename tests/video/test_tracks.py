"""Tests of copying audio and subtitles: packets, timing, languages, and containers that cannot hold them."""

from collections.abc import Iterator
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


def centre(path: Path) -> tuple[str, int, float]:
    """Return codec and sample rate of the first audio track, and the mean time of its energy in seconds."""
    with av.open(str(path)) as container:
        stream, times, energy = container.streams.audio[0], list[float](), list[float]()
        for frame in container.decode(stream):
            left = frame.to_ndarray().astype(float)
            left = left[0, ::2] if len(left) == 1 else left[0]
            times += list(frame.time + np.arange(len(left)) / frame.sample_rate)
            energy += list(left**2)
        return stream.codec.canonical_name, stream.rate, float(np.average(times, weights=energy))


@pytest.mark.parametrize("rate", [48000, 44100, 37800])
@pytest.mark.parametrize(
    ("suffix", "audio"),
    [(".mp4", "aac"), (".mov", "aac"), (".mkv", "aac"), (".mp4", "flac"), (".mkv", "flac")],
)
def test_encoded_audio_starts_where_the_original_does(
    tmp_path: Path, suffix: str, audio: str, rate: int
) -> None:
    source = burst(tmp_path / "s.mkv", rate)
    with open_frames(source, part=Part(5, 15)) as reader:
        frames = torch.stack(list(reader))
    for video, begin in ((read_video(source), 0), (Video(frames, **vars(reader.metadata)), 0.2)):
        target = tmp_path / f"{begin}{suffix}"
        write_video(target, to_unit(video.frames), video, crf=20, audio=audio)
        codec, at, time = centre(target)
        assert (codec, at) == (audio, rate if rate > 40000 else 48000)
        with av.open(str(target)) as container:  # Matroska delays all tracks by AAC's priming samples
            delay = next(container.decode(video=0)).time
        assert time - delay == pytest.approx(0.5 - begin, abs=1e-3 if suffix == ".mkv" else 2e-4)


def burst(path: Path, rate: int) -> Path:
    """Return a second of video with PCM audio from 0.1 s on, silent but for a burst around 0.5 s."""
    time = np.arange(rate) / rate - 0.4
    wave = (20000 * np.exp(-((time / 0.02) ** 2)) * np.cos(6000 * time)).astype(np.int16)
    with av.open(str(path), "w") as file:
        picture, sound = file.add_stream("libx264", 25), file.add_stream("pcm_s16le", rate)
        picture.width, picture.height = 48, 32
        for _ in range(25):
            file.mux(picture.encode(av.VideoFrame(48, 32, "yuv420p")))
        frame = av.AudioFrame.from_ndarray(np.repeat(wave, 2)[None], "s16", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = rate, rate // 10, Fraction(1, rate)
        for stream, last in ((sound, frame), (sound, None), (picture, None)):
            file.mux(stream.encode(last))
    return path


@pytest.mark.parametrize("part", [Part(), Part(5, 10)])
@pytest.mark.parametrize("audio", ["copy", "aac"])
def test_packets_without_a_time_are_encoded_or_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, audio: str, part: Part
) -> None:
    source = without_times(make_video(tmp_path / "s.ts", noise(20), audio="aac"))
    with open_frames(source, part=part) as reader:
        frames = torch.stack(list(reader))
    write_video(tmp_path / "a.mp4", to_unit(frames), Video(frames, **vars(reader.metadata)), audio=audio)
    if audio == "aac":
        with av.open(str(tmp_path / "a.mp4")) as container:
            samples = sum(frame.samples for frame in container.decode(audio=0))
        assert samples / 48000 == pytest.approx(len(frames) / 25, abs=0.05)
        assert start(tmp_path / "a.mp4", "audio") == pytest.approx(0, abs=0.03)
        assert not caplog.messages
    else:
        lost = f"{len(packets(source, 'audio'))} packets of audio track 1 (aac) have no time and are left out"
        assert caplog.messages == [
            f"{source}: {lost}; audio=aac keeps them",
            f"{source}: a.mp4 does not keep audio track 1 (aac)",
        ]


def without_times(path: Path) -> Path:
    """Remove the times from the audio of a transport stream: flags and bytes of PTS in the PES headers."""
    data = bytearray(path.read_bytes())
    for packet in range(0, len(data), 188):
        if data[packet + 1] & 0x5F == 0x41 and data[packet + 2] == 1:  # a PES packet begins, of PID 0x101
            header = packet + 4 + (1 + data[packet + 4] if data[packet + 3] & 0x20 else 0)
            data[header + 7] &= 0x3F
            length = data[header + 8]
            data[header + 9 : header + 9 + length] = b"\xff" * length
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("audio", ["aac", "flac"])
def test_samples_that_are_not_numbers_or_far_above_1_are_encoded_as_full_scale(
    tmp_path: Path, audio: str
) -> None:
    samples = np.zeros(4800, np.float32)
    samples[:900], samples[2400:3600] = np.nan, 1e12
    with av.open(str(tmp_path / "s.mkv"), "w") as file:
        picture, sound = file.add_stream("libx264", 25), file.add_stream("pcm_f32le", 48000)
        picture.width, picture.height = 48, 32
        frame = av.AudioFrame.from_ndarray(np.repeat(samples, 2)[None], "flt", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
        file.mux([*picture.encode(av.VideoFrame(48, 32, "yuv420p")), *picture.encode(None)])
        file.mux([*sound.encode(frame), *sound.encode(None)])
    video = read_video(tmp_path / "s.mkv")
    write_video(tmp_path / "a.mp4", to_unit(video.frames), video, audio=audio)
    with av.open(str(tmp_path / "a.mp4")) as container:
        decoded = np.hstack([frame.to_ndarray().ravel() for frame in container.decode(audio=0)])
    full = 1 if audio == "aac" else 2**31
    assert np.isfinite(decoded).all()
    assert 0.9 * full < np.abs(decoded[len(decoded) // 2 :].astype(float)).max() < 2 * full


def test_audio_that_the_container_refuses_is_encoded_or_left_out_by_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video = read_video(make_video(tmp_path / "s.mkv", noise(5), audio="libopus"))
    with pytest.raises(UserError, match=r"write to \.mp4 or \.mkv or \.webm, or pass audio=aac$"):
        write_video(tmp_path / "a.mov", fail_if_iterated(), video)
    with pytest.raises(UserError, match=r"\.mov cannot hold flac of audio track 1 \(opus\)"):
        write_video(tmp_path / "a.mov", fail_if_iterated(), video, audio="flac")
    with pytest.raises(UserError, match="audio=mp3 is not a way to treat audio; pass copy, aac, flac, none"):
        write_video(tmp_path / "a.mov", fail_if_iterated(), video, audio="mp3")
    for audio, tracks in (("aac", 2), ("none", 1)):
        write_video(tmp_path / "a.mov", to_unit(video.frames), video, audio=audio)
        with av.open(str(tmp_path / "a.mov")) as container:
            assert len(container.streams) == tracks
    assert "leaving out" not in caplog.text


@pytest.mark.parametrize("name", ["s.flv", "s.mkv", "s.mp4"])
@pytest.mark.parametrize("part", [Part(), Part(5, 10)])
def test_a_clock_that_starts_hours_in_starts_at_0_with_audio_in_sync(
    tmp_path: Path, name: str, part: Part
) -> None:
    plain = make_video(tmp_path / "plain.mkv", noise(30), audio="aac")
    source = fragments(plain, tmp_path / name) if name == "s.mp4" else shifted(plain, tmp_path / name)
    assert start(source, "video") > 7000
    with open_frames(source, part=part) as reader:
        frames = torch.stack(list(reader))
    assert len(frames) == (10 if part.frames else 30)
    write_video(tmp_path / "a.mp4", to_unit(frames), Video(frames, **vars(reader.metadata)), crf=20)
    before, after = (start(path, "video") - start(path, "audio") for path in (source, tmp_path / "a.mp4"))
    assert 0 <= start(tmp_path / "a.mp4", "video") < 0.03
    assert after == pytest.approx(before, abs=0.0015 if part == Part() else 0.025)


def shifted(source: Path, target: Path, seconds: int = 7200, **options: str) -> Path:
    """Copy all tracks with later times."""
    with av.open(str(source)) as before, av.open(str(target), "w", container_options=options) as after:
        for stream in before.streams:
            after.add_stream_from_template(stream, opaque=True)
        for packet in before.demux():
            if packet.pts is not None and packet.dts is not None:
                shift = round(seconds / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                packet.stream = after.streams[packet.stream.index]
                after.mux(packet)
    return target


def fragments(source: Path, target: Path) -> Path:
    """Copy all tracks to fragmented MP4 whose fragments say that they start two hours in."""
    shifted(source, target, 0, movflags="frag_keyframe+empty_moov+default_base_moof")
    with av.open(str(target)) as container:
        ticks = [stream.time_base.denominator for stream in container.streams if stream.time_base]
    content = bytearray(target.read_bytes())
    place = 0
    while (place := content.find(b"tfdt\1", place + 1)) > 0:
        track = int.from_bytes(content[(header := content.rfind(b"tfhd", 0, place)) + 8 : header + 12])
        time = int.from_bytes(content[place + 8 : place + 16]) + 7200 * ticks[track - 1]
        content[place + 8 : place + 16] = time.to_bytes(8)
    target.write_bytes(content)
    return target

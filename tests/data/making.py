"""Small video files for tests, encoded with PyAV, independently of the code under test."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def noise(frames: int = 6, height: int = 32, width: int = 48, seed: int = 0) -> list[np.ndarray]:
    """Return uint8 ``h w c`` noise images, which need many bytes, so that truncation falls within frames."""
    return list(np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), np.uint8))


def make_video(
    path: Path,
    images: Sequence[np.ndarray | av.VideoFrame],
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    rate: Fraction = Fraction(25),
    pts: Sequence[int] = (),
    time_base: Fraction | None = None,
    audio: str | None = None,
    rotation: tuple[float, bool, bool] | None = None,
    options: dict[str, str] | None = None,
    tags: Mapping[str, int | Fraction] | None = None,
    title: str = "",
) -> Path:
    """Encode images with ``tags`` set on the codec, and a tone in the codec ``audio``."""
    with av.open(f"file:{path}", "w", options=options or {}) as container:
        container.metadata["title"] = title
        stream = container.add_stream(codec, rate, {"qp": "0"} if codec == "libx264" else {})
        assert isinstance(stream, av.VideoStream)
        first = images[0]
        stream.pix_fmt = pixel_format
        stream.width, stream.height = (
            (first.width, first.height) if isinstance(first, av.VideoFrame) else first.shape[1::-1]
        )
        stream.codec_context.time_base = time_base = time_base or 1 / rate
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        if rotation:
            stream.set_display_rotation(*rotation)
        tone = container.add_stream(audio, 48000) if audio else None
        if tone:
            tone.metadata["language"] = "swe"
        for index, image in enumerate(images):
            frame = image if isinstance(image, av.VideoFrame) else av.VideoFrame.from_ndarray(image)
            frame.pts, frame.time_base = pts[index] if pts else index, time_base
            container.mux(stream.encode(frame))
            if isinstance(tone, av.AudioStream):
                container.mux(tone.encode(_tone(index)))
        container.mux(stream.encode())
        if isinstance(tone, av.AudioStream):
            container.mux(tone.encode())
    return path


def make_tracks(
    path: Path, codecs: Sequence[str], frames: int = 4, sizes: Sequence[tuple[int, int]] = ()
) -> Path:
    """Encode a track for each codec: grey video at 25 fps, 48x32 or of ``sizes``, or silence as long."""
    with av.open(f"file:{path}", "w") as container:
        streams = []
        for codec in codecs:
            is_video = av.Codec(codec, "w").type == "video"
            streams.append(container.add_stream(codec, 25 if is_video else 48000))
            if is_video:
                streams[-1].width, streams[-1].height = sizes[len(streams) - 1] if sizes else (48, 32)
        for index in range(frames):
            for stream in streams:
                if isinstance(stream, av.VideoStream):
                    shape = (stream.height, stream.width, 3)
                    frame = av.VideoFrame.from_ndarray(np.full(shape, 50 * index % 256, np.uint8))
                    frame.pts, frame.time_base = index, Fraction(1, 25)
                    container.mux(stream.encode(frame))
                elif isinstance(stream, av.AudioStream):
                    silence = av.AudioFrame.from_ndarray(np.zeros((2, 1920), np.float32), "fltp", "stereo")
                    silence.sample_rate, silence.pts = 48000, 1920 * index
                    container.mux(stream.encode(silence))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


def add_subtitles(path: Path, video: Path, lines: Mapping[str, tuple[int, int]]) -> Path:
    """Write ``path``: the video track of ``video``, and subtitles shown from a millisecond to another."""
    text = path.with_suffix(".srt")
    blocks = [
        f"{i}\n{_clock(a)} --> {_clock(b)}\n{line}\n" for i, (line, (a, b)) in enumerate(lines.items(), 1)
    ]
    text.write_text("\n".join(blocks))
    with av.open(str(video)) as picture, av.open(str(text)) as subtitles, av.open(str(path), "w") as both:
        inputs = [(picture, picture.streams.video[0]), (subtitles, subtitles.streams.subtitles[0])]
        tracks = [both.add_stream_from_template(stream) for _, stream in inputs]
        for (container, stream), track in zip(inputs, tracks, strict=True):
            for packet in container.demux(stream):
                if packet.size:
                    packet.stream = track
                    both.mux(packet)
    text.unlink()
    return path


def _clock(milliseconds: int) -> str:
    return f"00:00:{milliseconds // 1000:02d},{milliseconds % 1000:03d}"


def _tone(index: int, samples: int = 1920) -> av.AudioFrame:
    wave = 8000 * np.sin(np.arange(index * samples, (index + 1) * samples) * 0.05)
    frame = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], "s16", "mono")
    frame.sample_rate, frame.pts, frame.time_base = 48000, index * samples, Fraction(1, 48000)
    return frame


def flat(
    colour: tuple[int, int, int], kr: float, kb: float, full: bool, size: tuple[int, int]
) -> av.VideoFrame:
    """Return a yuv420p frame of one RGB colour, by the equations of ITU-R BT.601 and its successors."""
    red, green, blue = (value / 255 for value in colour)
    y = kr * red + (1 - kr - kb) * green + kb * blue
    u, v = (blue - y) / (2 - 2 * kb), (red - y) / (2 - 2 * kr)
    planes = (255 * y, 255 * u + 128, 255 * v + 128) if full else (219 * y + 16, 224 * u + 128, 224 * v + 128)
    frame = av.VideoFrame(*size, "yuv420p")
    for plane, value in zip(frame.planes, planes, strict=True):
        plane.update(bytes([min(round(value), 255)]) * plane.buffer_size)
    return frame


def packets(path: Path, kind: str) -> list[bytes]:
    """Return the content of the packets of the first track of a kind."""
    with av.open(f"file:{path}") as container:
        return [bytes(packet) for packet in container.demux(**{kind: 0}) if packet.size]


def start(path: Path, kind: str) -> Fraction:
    """Return the display time of the first packet of a kind in seconds."""
    with av.open(f"file:{path}") as container:
        packet = next(container.demux(**{kind: 0}))
        assert packet.pts is not None
        return packet.pts * packet.time_base

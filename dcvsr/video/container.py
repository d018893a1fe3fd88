"""Containers of video files: opening them, naming their tracks and choosing the picture.

No stream needs a codec that FFmpeg can name: PyAV has no codec context for others.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import av.format
import av.logging
from av.container import Container, InputContainer
from av.stream import AttachmentStream, Discard, Disposition, Stream

from dcvsr.runtime.errors import UserError

CONTAINERS = {".mp4": "mp4", ".mkv": "matroska", ".mov": "mov", ".webm": "webm"}

_LIVE = 10
"""Seconds without any content after which a file is a piece of a longer one."""

# A line of FFmpeg's description: "  Stream #0:2[0x3](und): Audio: none (apac / 0x63617061), 44100 Hz".
_STREAM = re.compile(r"^  Stream #0:(\d+)[^:]*: \w+: (\w+)(?:[^,]*\((\S+) +/ 0x)?", re.MULTILINE)


def url(path: Path) -> str:
    """Return a path as a URL that FFmpeg takes literally; it would read ``a:b.mp4`` as a protocol."""
    return f"file:{path}"


@contextmanager
def open_video(path: Path) -> Iterator[InputContainer]:
    """Open a video file for reading.

    Raises:
        UserError: if it is empty, cannot be read, or has a format that FFmpeg does not know.
    """
    try:
        if path.stat().st_size == 0:
            raise UserError(f"{path} is empty (0 bytes); copy or download it again")
        container = av.open(url(path), metadata_errors="replace")  # non-UTF-8 titles would raise
    except (av.FFmpegError, OSError) as error:
        way_out = "pass a whole video file or a folder of frames"
        raise UserError(f"{path} cannot be read as a video ({error.strerror}); {way_out}") from error
    with container:
        yield container


def picture_stream(path: Path, container: InputContainer) -> av.VideoStream:
    """Return the video stream to upscale: a default one, then the largest, as FFmpeg chooses; no cover art.

    Raises:
        UserError: if there is none, or FFmpeg has no decoder for it.
    """
    moving = _moving(container)
    if not moving or container.format.name == "tty":  # FFmpeg draws text files as terminals
        raise UserError(f"{path} has no video stream; pass a video file or a folder of frames")
    picture = _best(moving)
    if not picture:
        name = track_name(moving[0])
        raise UserError(f"{path}: FFmpeg has no decoder for {name}; convert the file to H.264 or FFV1 first")
    return picture


def _moving(container: InputContainer) -> list[av.VideoStream]:
    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]


def _best(streams: list[av.VideoStream]) -> av.VideoStream | None:
    known = (stream for stream in streams if stream.codec_context)
    return max(
        known, key=lambda s: (bool(s.disposition & Disposition.default), s.width * s.height), default=None
    )


def other_streams(source: Path, container: InputContainer) -> list[Stream]:
    """Return the streams of a file without its picture and the sources of its chapters and timecode."""
    picture = picture_stream(source, container)
    found = (stream for stream in container.streams if stream.index != picture.index)
    return [stream for stream in found if stream.discard != Discard.all and not _is_timecode(stream)]


def _is_timecode(stream: Stream) -> bool:
    return stream.type == "data" and "timecode" in stream.metadata


def clock_start(container: InputContainer) -> Fraction:
    """Return the time in seconds that a file's clock counts from.

    MPEG transport and program streams may start at any time, and so do pieces of live streams in FLV,
    Matroska and fragmented MP4. Other files start at 0, or at the first frame if that is earlier.
    """
    first = Fraction(container.start_time or 0, av.time_base)
    if container.format.flags & av.format.Flags.ts_discont.value or first > _LIVE:
        return first
    picture = _best(_moving(container))
    if picture is None or picture.start_time is None:
        return Fraction(0)
    return min(Fraction(0), picture.start_time * (picture.time_base or Fraction(1)))


def track_name(stream: Stream) -> str:
    """Return type, index and codec of a track, such as ``audio track 2 (apac)``, for messages.

    A codec that FFmpeg does not know has the name of its tag, if the container has tags. An attachment has
    the name of its file.
    """
    if isinstance(stream, AttachmentStream):
        name = stream.name or "unnamed"
    else:
        name = stream.codec.canonical_name if stream.codec_context else _described(stream)
    return f"{stream.type} track {stream.index} ({name})"


def description(container: Container) -> str:
    """Return FFmpeg's description of an open file; PyAV exposes neither side data nor tags of streams."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        return container.dumps_format()  # type: ignore[attr-defined]
    finally:
        av.logging.set_level(level)


def _described(stream: Stream) -> str:
    """Return the codec or tag of a stream in FFmpeg's description."""
    for index, codec, tag in _STREAM.findall(description(stream.container)):
        if int(index) == stream.index:
            return tag if codec in ("none", "unknown") and tag else codec.replace("none", "unknown")
    return "unknown"

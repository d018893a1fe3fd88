"""Copying of audio and subtitle tracks from file to file, packet by packet."""

import io
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import av.format
from av.container import InputContainer, OutputContainer
from av.stream import Stream

from dcvsr.runtime.errors import UserError

log = logging.getLogger(__name__)

CONTAINERS = {".mp4": "mp4", ".mkv": "matroska", ".mov": "mov"}


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


def clock_start(container: InputContainer) -> Fraction:
    """Return the time in seconds that a file's clock counts from.

    MPEG transport and program streams may start at any time. Other files start at 0, or at the first frame if
    that is earlier.
    """
    if container.format.flags & av.format.Flags.ts_discont.value:
        return Fraction(container.start_time or 0, av.time_base)
    picture = container.streams.video[0]
    return min(Fraction(0), (picture.start_time or 0) * (picture.time_base or Fraction(1)))


def check_audio(source: Path, suffix: str) -> None:
    """Check that the container ``suffix`` (a key of ``CONTAINERS``) can hold the audio of a file.

    Raises:
        UserError: if it cannot; the message names the containers that can.
    """
    with open_video(source) as container:
        audio = {stream.index: stream.name for stream in container.streams.audio}
    for index, codec in audio.items():
        if not _can_hold(suffix, source, index):
            others = [other for other in CONTAINERS if _can_hold(other, source, index)]
            way_out = f"write to {' or '.join(others)}" if others else "write a folder of frames instead"
            raise UserError(f"{suffix} cannot hold the {codec} audio of {source}; {way_out}")


@contextmanager
def copy_tracks(
    source: Path | None,
    output: OutputContainer,
    suffix: str,
    span: tuple[Fraction, Fraction | None] | None = None,
) -> Iterator[Iterator[av.Packet]]:
    """Add a file's audio and subtitle tracks to ``output``; yield an iterator of their packets, in order.

    Subtitles that the container cannot hold are left out, with a warning. Call ``check_audio`` first.

    Args:
        source: the file; None for no tracks.
        output: the file to write.
        suffix: its suffix, a key of ``CONTAINERS``.
        span: first and end time of a part of ``source``, in seconds from ``clock_start``; an end of None is
            that of the file. Packets that overlap it are copied, and the first time becomes 0. They stay in
            sync to a tick of their track. Audio begins and ends up to one packet (about 20 ms) outside the
            span, and its first packet may sound wrong: a codec needs the one before. Subtitles are cut.
    """
    if source is None:
        yield iter(())
        return
    with open_video(source) as container:
        kept: list[Stream] = list(container.streams.audio)
        for stream in container.streams.subtitles:
            if _can_hold(suffix, source, stream.index):
                kept.append(stream)
            else:
                log.warning(
                    "%s cannot hold the %s subtitles of %s; leaving them out", suffix, stream.name, source
                )
        tracks: dict[int, Stream] = {}
        for stream in kept:
            track = tracks[stream.index] = output.add_stream_from_template(stream)
            if stream.language:
                track.metadata["language"] = stream.language
        yield _packets(container, tracks, span)


def _packets(
    container: InputContainer, tracks: dict[int, Stream], span: tuple[Fraction, Fraction | None] | None
) -> Iterator[av.Packet]:
    start, streams = clock_start(container), [container.streams[index] for index in tracks]
    begin, end = span or (Fraction(0), None)
    for packet in container.demux(streams) if streams else ():
        if packet.pts is None or packet.dts is None:  # the empty packet that ends each stream
            continue
        shift = round((start + begin) / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        if span and not _overlaps(packet, None if end is None else end - begin):
            continue
        packet.stream = tracks[packet.stream.index]
        yield packet


def _overlaps(packet: av.Packet, seconds: Fraction | None) -> bool:
    """Return True if a packet is presented within ``[0, seconds)``; cut it to that if it is a subtitle."""
    start, end = packet.pts or 0, (packet.pts or 0) + (packet.duration or 0)
    limit = math.inf if seconds is None else math.ceil(seconds / packet.time_base)
    if start >= limit or max(start, end - 1) < 0:
        return False
    if packet.stream.type == "subtitle":
        packet.pts = packet.dts = max(start, 0)
        packet.duration = int(min(end, limit)) - packet.pts if packet.duration else 0
    return True


def _can_hold(suffix: str, source: Path, index: int) -> bool:
    """Return True if the muxer accepts the first packet of a track, written to memory as a trial."""
    try:
        with open_video(source) as container, av.open(io.BytesIO(), "w", CONTAINERS[suffix]) as trial:
            stream = container.streams[index]
            packet = next(container.demux(stream))
            packet.stream = trial.add_stream_from_template(stream)
            if packet.size:
                trial.mux(packet)
    except (av.FFmpegError, ValueError):
        return False
    return True

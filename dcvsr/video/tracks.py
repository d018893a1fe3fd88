"""The tracks of a video file; audio and subtitles are copied packet by packet from file to file."""

import io
import logging
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
    """A path as FFmpeg takes it literally; bare, ``a:b.mp4`` would name a protocol."""
    return f"file:{path}"


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """A video file to read from.

    Raises:
        UserError: if it is empty, cannot be read, or is of no kind that FFmpeg knows.
    """
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty (0 bytes)")
    try:
        container = av.open(url(path), metadata_errors="replace")  # titles in old encodings would raise
    except (av.FFmpegError, OSError) as error:
        reason = f"{error.strerror}; is it cut off, or of another kind?"
        raise UserError(f"{path} cannot be read as a video ({reason})") from error
    with container:
        yield container


def origin(container: InputContainer) -> Fraction:
    """Second at which a file's clock starts.

    MPEG streams count from anywhere, hours perhaps; other files from 0, and no picture can stand before 0.
    """
    if container.format.flags & av.format.Flags.ts_discont.value:
        return Fraction(container.start_time or 0, av.time_base)
    picture = container.streams.video[0]
    return min(Fraction(0), (picture.start_time or 0) * (picture.time_base or Fraction(1)))


def check_audio(source: Path, suffix: str) -> None:
    """Refuse a container (a key of ``CONTAINERS``) that cannot hold the audio of a file.

    Raises:
        UserError: naming the containers that can.
    """
    with opened(source) as container:
        audio = {stream.index: stream.name for stream in container.streams.audio}
    for index, codec in audio.items():
        if not _holds(suffix, source, index):
            others = [other for other in CONTAINERS if _holds(other, source, index)]
            way_out = f"write to {' or '.join(others)}" if others else "write a folder of frames instead"
            raise UserError(f"{suffix} cannot hold the {codec} audio of {source}; {way_out}")


@contextmanager
def copied(source: Path | None, output: OutputContainer, suffix: str) -> Iterator[Iterator[av.Packet]]:
    """Adds the audio and subtitle tracks of a file to ``output``; gives their packets, in order, to be muxed.

    Subtitles that the container cannot hold are left out, with a warning; audio has passed ``check_audio``.
    """
    if source is None:
        yield iter(())
        return
    with opened(source) as container:
        kept: list[Stream] = list(container.streams.audio)
        for stream in container.streams.subtitles:
            if _holds(suffix, source, stream.index):
                kept.append(stream)
            else:
                log.warning("%s cannot hold the %s subtitles of %s; left out", suffix, stream.name, source)
        tracks: dict[int, Stream] = {}
        for stream in kept:
            track = tracks[stream.index] = output.add_stream_from_template(stream)
            if stream.language:
                track.metadata["language"] = stream.language
        yield _packets(container, tracks)


def _packets(container: InputContainer, tracks: dict[int, Stream]) -> Iterator[av.Packet]:
    start, streams = origin(container), [container.streams[index] for index in tracks]
    for packet in container.demux(streams) if streams else ():
        if packet.pts is None or packet.dts is None:  # the empty packets that end each stream
            continue
        shift = round(start / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        packet.stream = tracks[packet.stream.index]
        yield packet


def _holds(suffix: str, source: Path, index: int) -> bool:
    """Only the muxer knows: it is asked to write the first packet to memory."""
    try:
        with opened(source) as container, av.open(io.BytesIO(), "w", CONTAINERS[suffix]) as trial:
            stream = container.streams[index]
            packet = next(container.demux(stream))
            packet.stream = trial.add_stream_from_template(stream)
            if packet.size:
                trial.mux(packet)
    except (av.FFmpegError, ValueError):
        return False
    return True

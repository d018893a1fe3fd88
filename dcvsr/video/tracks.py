"""Copying of audio and subtitle tracks from file to file, packet by packet."""

import io
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.stream import Disposition, Stream

from dcvsr.runtime.errors import UserError
from dcvsr.video.container import CONTAINERS, clock_start, open_video, picture_stream, track_name

log = logging.getLogger(__name__)


def check_tracks(source: Path, suffix: str) -> None:
    """Check that the container ``suffix`` (a key of ``CONTAINERS``) can hold the audio of a file.

    One warning names the tracks that are left out, for example because FFmpeg does not know their codec.

    Raises:
        UserError: if it cannot; the message names the containers that can.
    """
    left_out: list[str] = []
    with open_video(source) as container:
        picture = picture_stream(source, container)
        for stream in container.streams:
            if stream.index == picture.index or stream.disposition & Disposition.attached_pic:
                continue
            if stream.type in ("audio", "subtitle") and _can_hold(suffix, source, stream.index):
                continue
            name = track_name(stream)
            if stream.type == "audio" and stream.codec_context:
                others = [other for other in CONTAINERS if _can_hold(other, source, stream.index)]
                way_out = f"write to {' or '.join(others)}" if others else "write a folder of frames instead"
                raise UserError(f"{suffix} cannot hold {name} of {source}; {way_out}")
            left_out.append(name)
    if left_out:
        log.warning("%s: %s cannot hold %s; leaving out", source, suffix, ", ".join(left_out))


@contextmanager
def copy_tracks(
    source: Path | None,
    output: OutputContainer,
    suffix: str,
    span: tuple[Fraction, Fraction | None] | None = None,
) -> Iterator[Iterator[av.Packet]]:
    """Add a file's audio and subtitle tracks to ``output``; yield an iterator of their packets, in order.

    Tracks that the container cannot hold are left out. Call ``check_tracks`` first, which names them.

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
        tracks: dict[int, Stream] = {}
        for stream in (*container.streams.audio, *container.streams.subtitles):
            if not _can_hold(suffix, source, stream.index):
                continue
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
            if not stream.codec_context:  # FFmpeg has no decoder for it, and PyAV cannot copy it
                return False
            packet = next(container.demux(stream))
            packet.stream = trial.add_stream_from_template(stream)
            if packet.size:
                trial.mux(packet)
    except (av.FFmpegError, ValueError):
        return False
    return True

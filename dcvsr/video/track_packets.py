"""Packets of the tracks beside the picture: copied or encoded, and cut to a part."""

import logging
import math
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction

import av
from av.container import InputContainer
from av.stream import Stream

from dcvsr.video.audio_encoder import AudioEncoder
from dcvsr.video.container import clock_start, track_name

log = logging.getLogger(__name__)


def track_packets(
    container: InputContainer,
    tracks: dict[int, Stream],
    span: tuple[Fraction, Fraction | None] | None,
    audio: str,
    is_trial: bool = False,
) -> Iterator[av.Packet]:
    """Yield the packets of tracks with times from ``span``, in order; warn of those that are lost.

    Args:
        container: the file that holds them.
        tracks: index in ``container`` -> track to write to.
        span: as ``copy_tracks`` takes it.
        audio: one of ``tracks.AUDIO``.
        is_trial: True to warn of nothing.
    """
    start, streams = clock_start(container), [container.streams[index] for index in tracks]
    begin, end = span or (Fraction(0), None)
    encoders = {
        stream.index: AudioEncoder(stream, track, start + begin, None if end is None else start + end)
        for stream in streams
        if isinstance(stream, av.AudioStream) and isinstance(track := tracks[stream.index], av.AudioStream)
        if audio != "copy"
    }
    timeless = Counter[int]()
    for packet in _demuxed(container, streams) if streams else ():
        index = packet.stream.index
        if index in encoders:
            yield from encoders[index](packet)
            continue
        shift = round((start + begin) / packet.time_base)
        known = [time - shift for time in (packet.pts, packet.dts) if time is not None]
        if packet.stream.type == "video":  # cover art has no time
            known = [0]
        if not packet.size:  # the end of a stream
            continue
        if not known:
            timeless[index] += 1
            continue
        packet.pts, packet.dts = known[0], known[-1]
        if span and packet.stream.type != "video" and not _overlaps(packet, end and end - begin):
            continue
        packet.stream = tracks[index]
        yield packet
    if is_trial:
        return
    path = container.name.removeprefix("file:")
    for index, count in timeless.items():
        stream = container.streams[index]
        way_out = "; audio=aac keeps them" if stream.type == "audio" else ""
        text = "%s: %d packets of %s have no time and are left out%s"
        log.warning(text, path, count, track_name(stream), way_out)
    for index, encoder in encoders.items():
        if encoder.failed:
            name = track_name(container.streams[index])
            log.warning("%s: %d packets of %s do not decode", path, encoder.failed, name)


def _demuxed(container: InputContainer, streams: list[Stream]) -> Iterator[av.Packet]:
    try:
        yield from container.demux(streams)
    except av.FFmpegError as error:
        log.warning(
            "%s: audio and subtitles end early (%s)", container.name.removeprefix("file:"), error.strerror
        )


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

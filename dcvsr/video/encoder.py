"""Encoder of frames to video files, with the audio and subtitles of the source.

Axes: h height, w width, c channels (RGB).
"""

import heapq
import logging
import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import av
import numpy as np

from dcvsr.video.coding import SHORT, Coding
from dcvsr.video.colour import Colour
from dcvsr.video.container import CONTAINERS, url
from dcvsr.video.memory import Metadata
from dcvsr.video.muxing import mux, require_frames
from dcvsr.video.tracks import copy_tracks

log = logging.getLogger(__name__)


def encode(path: Path, images: Iterator[np.ndarray], video: Metadata, coding: Coding, audio: str) -> None:
    """Encode ``h w c`` images, uint8 or uint16, as they arrive, one for each frame time of ``video``.

    MP4 and MOV keep times exactly. Matroska rounds to the millisecond, and delays all tracks if audio starts
    before 0, as that of a part may by one packet.

    Args:
        path: the file to write.
        images: the frames.
        video: all but the frames.
        coding: codec, settled.
        audio: one of ``tracks.AUDIO``.
    """
    first, count = list(islice(images, SHORT)), 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal count
        for image in chain(first, images):
            count += 1
            yield image

    height, width, _ = first[0].shape
    suffix = path.suffix.lower()
    source = None if video.names else video.source  # frames of a folder have names
    time_base = video.time_base if video.pts and video.time_base else 1 / video.rate
    colour = (video.colour or Colour.untagged(height)).coded(
        height, av.VideoFormat(coding.pix_fmt or "").is_rgb
    )
    if video.profile:
        log.warning("%s: video files hold no ICC profile; that of the frames is left out", path.name)
    # MP4 and MOV round the start of each track to this clock; FFmpeg's default is 1000 ticks a second.
    clock = time_base.denominator * math.ceil(48000 / time_base.denominator)
    options = {"movie_timescale": str(clock)}
    if suffix == ".mov":
        options["movflags"] = "use_metadata_tags"  # all tags, as Apple writes them; by default only a few
    with av.open(url(path), "w", CONTAINERS[suffix], container_options=options) as output:
        stream = coding.add_to(output, video.rate, (height, width), len(first) < SHORT)
        stream.time_base = stream.codec_context.time_base = time_base
        stream.codec_context.sample_aspect_ratio = video.aspect
        colour.tag(stream.codec_context)
        with copy_tracks(source, output, suffix, video.span, audio) as packets:
            pictures = _packets(stream, counted(), video.pts, colour)
            mux(output, heapq.merge(pictures, packets, key=_seconds))
    require_frames(path, count)


def _packets(
    stream: av.VideoStream, images: Iterable[np.ndarray], pts: tuple[int, ...], colour: Colour
) -> Iterator[av.Packet]:
    for index, image in enumerate(images):
        frame = colour.from_rgb(image, stream.pix_fmt or "")
        frame.pts, frame.time_base = pts[index] if pts else index, stream.codec_context.time_base
        yield from stream.encode(frame)
    yield from stream.encode()


def _seconds(packet: av.Packet) -> Fraction:
    return (packet.dts or 0) * packet.time_base

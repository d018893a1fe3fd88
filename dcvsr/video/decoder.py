"""A video file to frames: whole, upright and in order, or refused.

Axes: f frames, c channels (RGB), h height, w width.
"""

import logging
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
import torch
from av.container import InputContainer
from av.stream import Disposition
from einops import rearrange

from dcvsr.runtime.errors import UserError
from dcvsr.video.colour import Colour
from dcvsr.video.memory import Video
from dcvsr.video.orientation import is_turned, upright
from dcvsr.video.tracks import opened, origin

log = logging.getLogger(__name__)

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def decode(path: Path) -> Video:
    """The first moving picture of a file; deeper samples are read as 8-bit, and a warning says so.

    Raises:
        UserError: if the file is cut off, damaged or no video, or if its frames change size.
    """
    with opened(path) as container:
        stream = _picture(path, container)
        frames = _frames(path, container, stream)
        first = next(frames)
        if (bits := max(component.bits for component in first.format.components)) > 8:
            log.warning("%s has %d bits per sample; read as 8", path, bits)
        colour, images, times = Colour.of(first), [], []
        for frame in chain([first], frames):
            image = rearrange(upright(colour.to_rgb(frame), frame), "h w c -> c h w")
            images.append(torch.from_numpy(np.ascontiguousarray(image)))
            times.append(frame.pts)
            if images[-1].shape != images[0].shape:
                raise UserError(f"{path} changes its size at frame {len(times) - 1}; cut it there")
        aspect, time_base = stream.sample_aspect_ratio or Fraction(1), stream.time_base or 1 / _rate(stream)
        return Video(
            torch.stack(images),
            _rate(stream),
            _ascending(path, times, round(origin(container) / time_base)),
            time_base,
            1 / aspect if is_turned(first) else aspect,
            None if first.format.is_rgb else colour,
            path,
        )


def announced(path: Path) -> tuple[int, int, int]:
    """Frames, height and width that a file's header tells; its first frame is decoded, no other.

    Raises:
        UserError: if the file is cut off or no video, as far as can be told.
    """
    with opened(path) as container:
        stream = _picture(path, container)
        first = next(_frames(path, container, stream))
        frames = stream.frames or round((stream.duration or 1) * (stream.time_base or 1) * _rate(stream))
        turned = is_turned(first)
        return (frames, first.width, first.height) if turned else (frames, first.height, first.width)


def announced_rate(path: Path) -> Fraction:
    """Frames per second that a file's header tells.

    Raises:
        UserError: if the file is cut off or no video, as far as can be told.
    """
    with opened(path) as container:
        return _rate(_picture(path, container))


def _picture(path: Path, container: InputContainer) -> av.VideoStream:
    """The first video stream that is no cover art, of a file that is not cut off."""
    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not moving or container.format.name == "tty":  # FFmpeg draws text files as terminals
        raise UserError(f"{path} has no video stream")
    index = (entry.pos + entry.size for track in container.streams for entry in track.index_entries)
    promised, size = max(_matroska_size(path), *index, 0), path.stat().st_size
    if size < promised:
        raise UserError(f"{path} is cut off: {size} of at least {promised} bytes are there")
    return moving[0]


def _matroska_size(path: Path) -> int:
    """Bytes of a Matroska file by its header; 0 where that is unknown, and for other files."""
    with path.open("rb") as file:
        head = file.read(4096)
    start = head.find(_SEGMENT) + len(_SEGMENT)
    if not head.startswith(_EBML) or start < len(_SEGMENT):
        return 0
    # The size has as many bytes as its first has leading zeros, and one; its first set bit is no part of it.
    width = 9 - head[start].bit_length()
    size = int.from_bytes(head[start : start + width]) ^ 1 << 7 * width
    return 0 if size == (1 << 7 * width) - 1 else start + width + size


def _frames(path: Path, container: InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """At least one frame, in the order of display."""
    count = 0
    try:
        for packet in container.demux(stream):
            frames = packet.decode()
            if packet.is_corrupt or any(frame.is_corrupt for frame in frames):
                raise UserError(f"{path} is damaged or cut off after {count} frames")
            yield from frames
            count += len(frames)
    except av.FFmpegError as error:
        raise UserError(f"{path} is damaged or cut off after {count} frames ({error.strerror})") from error
    if not count:
        raise UserError(f"{path} has no frame that can be decoded")


def _rate(stream: av.VideoStream) -> Fraction:
    """Average rate. Matroska stores whole nanoseconds, which makes 60000/1001 into 19001/317: mended here."""
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    ntsc = Fraction(1000 * round(rate * 1001 / 1000), 1001)
    return ntsc if abs(rate - ntsc) < Fraction(1, 10**5) else rate


def _ascending(path: Path, times: list[int | None], start: int) -> tuple[int, ...]:
    """Times from ``start`` on, sorted as some files mix them up; none at all if some lack or repeat."""
    known = sorted({time - start for time in times if time is not None})
    if len(known) < len(times):
        log.warning("%s: times of frames are missing or repeat; its average rate is used", path)
        return ()
    return tuple(known)

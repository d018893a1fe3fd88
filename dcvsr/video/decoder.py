"""Decoder of video files: frames one at a time, upright and in display order; damaged files are errors.

Axes: f frames, c channels (RGB), h height, w width.
"""

import logging
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from itertools import chain
from pathlib import Path

import av
from av.container import InputContainer
from torch import Tensor

from dcvsr.runtime.errors import UserError
from dcvsr.video.colour import Colour
from dcvsr.video.colour_warnings import warn_of
from dcvsr.video.container import clock_start, open_video, picture_stream
from dcvsr.video.deep_colour import bits_of
from dcvsr.video.deinterlacing import deinterlaced
from dcvsr.video.memory import Metadata
from dcvsr.video.orientation import display_matrix, is_turned
from dcvsr.video.picture import Alpha, Picture, container_crop, is_transparent
from dcvsr.video.picture_frames import ON_DAMAGE, PictureFrames

log = logging.getLogger(__name__)

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


class Decoder:
    """Frames of the first video stream of an open file, decoded one at a time.

    Attributes:
        path: the file.
        length: number of frames by the header, which may be wrong.
        shape: height and width as displayed.
        rate: average frames per second.
        channels: 4 if alpha is read beside RGB, else 3.
        bits: bits per sample of the frames as they are read.
        colour: tags of the first frame.

    Args:
        path: the file.
        container: the file, open for reading.
        alpha: treatment of transparent pixels.
        deinterlace: True to pass all frames through bwdif.
        on_damage: one of ``ON_DAMAGE``.
        deep: True to read samples of more than 8 bits as uint16, False to round them to uint8.

    Raises:
        UserError: if ``on_damage`` is unknown, or the header or the first frame shows that the file is
            truncated or not a video.
    """

    def __init__(
        self,
        path: Path,
        container: InputContainer,
        alpha: Alpha = "refuse",
        deinterlace: bool = False,
        on_damage: str = "error",
        deep: bool = False,
    ) -> None:
        if on_damage not in ON_DAMAGE:
            raise UserError(
                f"on_damage={on_damage} is not a way to treat damage; pass {', '.join(ON_DAMAGE)}"
            )
        self.path, self._container, self._stream = path, container, _picture(path, container, on_damage)
        codec = _codec(self._stream, alpha)
        self._frames = iter(PictureFrames(path, container, self._stream, codec, on_damage))
        self._first, self._deinterlace = next(self._frames), deinterlace
        self._matrix = display_matrix(self._first)
        self.colour, self._times = Colour.of(self._first), list[int | None]()
        has_alpha = alpha == "bicubic" and is_transparent(self._first.format)
        self.channels, crop = 3 + has_alpha, container_crop(container, self._stream)
        self.bits = bits_of(self._first.format) if deep else 8
        self._picture = Picture(path, self.colour, crop, has_alpha, alpha, self.bits > 8)
        self.shape, self.rate = self._picture.shape(self._first, self._matrix), _rate(self._stream)
        seconds = Fraction(container.duration or 0, av.time_base)
        self.length = self._stream.frames or max(1, round(seconds * self.rate))

    def __iter__(self) -> Iterator[Callable[[], Tensor]]:
        """Decode each frame once, in display order; yield a function that converts it.

        Images are ``c h w``, uint8 or uint16.
        Warnings tell what is not read as it is.

        Raises:
            UserError: if a frame does not decode and ``on_damage`` is ``error``, or frames change size. The
                function raises it for transparent pixels.
        """
        warn_of(self.path, self._first, self.bits)
        matrix, rotation = self._matrix, self._first.rotation
        for index, frame in enumerate(self._decoded()):
            if frame.rotation != rotation:  # reading the matrix of each frame would keep them in memory
                matrix, rotation = display_matrix(frame), frame.rotation
            if self._picture.shape(frame, matrix) != self.shape:
                raise UserError(f"{self.path} changes its frame size at frame {index}; cut it there")
            self._times.append(frame.pts)
            yield partial(self._picture.image, frame, matrix)

    def _decoded(self) -> Iterator[av.VideoFrame]:
        """Decode all frames and deinterlace them, or warn at the first interlaced one."""
        frames = chain([self._first], self._frames)
        if self._deinterlace:
            yield from deinterlaced(frames, self._stream.time_base or 1 / self.rate)
            return
        warned = False
        for frame in frames:
            if frame.interlaced_frame and not warned:
                log.warning(
                    "%s is interlaced, and its combs are upscaled as texture; use deinterlace=bwdif",
                    self.path,
                )
                warned = True
            yield frame

    def metadata(self) -> Metadata:
        """Return the metadata of the frames so far."""
        aspect = self._stream.sample_aspect_ratio or Fraction(1)
        time_base = self._stream.time_base or 1 / self.rate
        return Metadata(
            self.rate,
            _sorted_times(self.path, self._times, round(clock_start(self._container) / time_base)),
            time_base,
            1 / aspect if is_turned(self._matrix) else aspect,
            Colour.kept(self._first),
            self.path,
            bits=self.bits,
        )


def header_shape(path: Path) -> tuple[int, int, int]:
    """Return the number of frames, height and width by the file's header; only the first frame is decoded.

    Raises:
        UserError: if the header or the first frame shows that the file is truncated or not a video.
    """
    with open_video(path) as container:
        decoder = Decoder(path, container)
        return decoder.length, *decoder.shape


def header_rate(path: Path) -> Fraction:
    """Return the frames per second by the file's header.

    Raises:
        UserError: if the header shows that the file is truncated or not a video.
    """
    with open_video(path) as container:
        return _rate(_picture(path, container))


def _picture(path: Path, container: InputContainer, on_damage: str = "error") -> av.VideoStream:
    """Return the video stream to upscale; raise UserError if there is none or the file is truncated."""
    picture = picture_stream(path, container)
    index = (entry.pos + entry.size for track in container.streams for entry in track.index_entries)
    expected, size = max(_matroska_size(path), *index, 0), path.stat().st_size
    if size < expected:
        if on_damage == "error":
            raise UserError(
                f"{path} is truncated, {size} of at least {expected} bytes: copy or download it again, or "
                "pass on_damage=repeat or drop"
            )
        log.warning("%s is truncated, %d of at least %d bytes", path, size, expected)
    return picture


def _matroska_size(path: Path) -> int:
    """Return the size of a Matroska file in bytes by its header; 0 if it is unknown or another format."""
    with path.open("rb") as file:
        head = file.read(4096)
    start = head.find(_SEGMENT) + len(_SEGMENT)
    if not head.startswith(_EBML) or start < len(_SEGMENT):
        return 0
    # EBML: the size takes one byte more than its first byte has leading zeros; the first set bit is a marker.
    width = 9 - head[start].bit_length()
    size = int.from_bytes(head[start : start + width]) ^ 1 << 7 * width
    return 0 if size == (1 << 7 * width) - 1 else start + width + size


def _codec(stream: av.VideoStream, alpha: Alpha) -> av.VideoCodecContext:
    """Return the decoder of a stream; FFmpeg's own ones of VP8 and VP9 do not decode alpha, libvpx does."""
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.name or "")
    if not name or tags.get("alpha_mode") != "1" or alpha == "ignore":
        return stream.codec_context
    codec = av.CodecContext.create(name, "r")
    assert isinstance(codec, av.VideoCodecContext)
    return codec


def _rate(stream: av.VideoStream) -> Fraction:
    """Return the average frame rate; Matroska rounds to nanoseconds, so 19001/317 means 60000/1001."""
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    ntsc = Fraction(1000 * round(rate * 1001 / 1000), 1001)
    return ntsc if abs(rate - ntsc) < Fraction(1, 10**5) else rate


def _sorted_times(path: Path, times: list[int | None], start: int) -> tuple[int, ...]:
    """Return the frame times from ``start``, sorted; () with a warning if any is missing or repeated."""
    start = min(start, *(time for time in times if time is not None), start)  # damaged files may lie
    known = sorted({time - start for time in times if time is not None})
    if len(known) < len(times):
        log.warning("%s: frame times are missing or repeated; using its average frame rate", path)
        return ()
    return tuple(known)

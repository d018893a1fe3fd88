"""Frames of the picture in display order, and an account of the packets that gave none."""

import logging
from collections.abc import Iterator
from pathlib import Path

import av
from av.container import InputContainer

from dcvsr.runtime.errors import UserError
from dcvsr.video.container import track_name
from dcvsr.video.picture_packets import HEAD, FrameHeaders, are_counted, has_captions

log = logging.getLogger(__name__)

ON_DAMAGE = ("error", "repeat", "drop")
"""Ways to treat frames that do not decode: end, repeat the frame before, or leave them out."""

_REORDERED = 64
"""Packets between one and its frame: more than reordering (16) and threads hold back."""


class PictureFrames:
    """Frames of a video stream; a repeated frame is yielded again with another time.

    A packet that gives no frame has been lost or damaged, or refers to one that was. FFmpeg may not report
    it. Packets at the beginning that refer to frames before the file, as in cuts of broadcasts, are left out
    with a warning.

    Args:
        path: the file.
        container: the file, open for reading.
        stream: the stream.
        codec: its decoder, not open yet.
        on_damage: one of ``ON_DAMAGE``.
    """

    def __init__(
        self,
        path: Path,
        container: InputContainer,
        stream: av.VideoStream,
        codec: av.VideoCodecContext,
        on_damage: str = "error",
    ) -> None:
        self._path, self._container, self._stream, self._codec = path, container, stream, codec
        self._on_damage = on_damage
        self._headers, self._is_counted = FrameHeaders(stream), are_counted(stream)
        codec.copy_opaque = True  # a frame has the number of its packet
        self._pending = dict[int, tuple[int | None, bytes, bool]]()  # time, head, is a key frame
        self._count = self._packets = self._lost = self._repeated = 0
        self._second = -2  # number of the last packet that is the second field of a frame
        self._has_key = self._has_captions = False

    def __iter__(self) -> Iterator[av.VideoFrame]:
        """Decode the frames.

        Raises:
            UserError: if there is none, FFmpeg does not support the codec, or, with ``on_damage=error``, a
                frame does not decode.
        """
        last: av.VideoFrame | None = None
        for packet in self._demuxed():
            for frame in self._decoded(packet):
                if not self._count:
                    self._leave_out_lead(frame)
                if last:
                    for time in self._times_between(last.pts, frame.pts):
                        last.pts = time
                        yield last
                self._count += 1
                yield frame
                if self._on_damage == "repeat":
                    last = frame
            self._check(self._packets - _REORDERED)
        if not self._count:
            raise UserError(f"{self._path} has no frame that FFmpeg can decode; pass another video")
        if last:
            for time in self._times_between(last.pts, None):
                last.pts = time
                yield last
        self._check(self._packets)
        self._report()

    def _demuxed(self) -> Iterator[av.Packet | None]:
        """Yield packets, numbered from 0, and None for the end."""
        try:
            for packet in self._container.demux(self._stream):
                if not packet.size:
                    continue
                self._has_key |= packet.is_keyframe
                head = bytes(memoryview(packet)[:HEAD])
                if not self._has_captions and has_captions(head):
                    log.warning("%s has closed captions in its picture; leaving out", self._path)
                    self._has_captions = True
                if self._is_counted and not packet.is_discard:
                    self._pending[self._packets] = (packet.pts, head, packet.is_keyframe)
                packet.opaque = self._packets
                yield packet
                self._packets += 1
        except av.FFmpegError as error:
            self._fail(error.strerror)
            log.warning("%s ends early (%s)", self._path, error.strerror)
        yield None

    def _decoded(self, packet: av.Packet | None) -> list[av.VideoFrame]:
        """Return the frames that a packet completes; damaged ones are kept as pending."""
        try:
            frames = self._codec.decode(packet)
        except (av.PatchWelcomeError, av.DecoderNotFoundError) as error:
            name = track_name(self._stream)
            raise UserError(
                f"{self._path}: FFmpeg does not support this kind of {name} ({error.strerror}); convert the "
                "file to H.264 or FFV1 with another program first"
            ) from error
        except av.FFmpegError as error:
            if self._has_key:  # frames that refer to one before the file are not damaged
                self._fail(error.strerror)
            return []
        if any(frame.is_corrupt for frame in frames) or (packet and packet.is_corrupt):
            self._fail("a frame is incomplete")
            frames = [frame for frame in frames if not frame.is_corrupt]
        if any(frame.opaque is None for frame in frames):  # a decoder that does not pass numbers on
            self._is_counted = False
            self._pending.clear()
        for frame in frames:
            if (
                isinstance(frame.opaque, int) and self._pending.pop(frame.opaque, None) is None
            ):  # two frames of a packet
                self._lost -= self._is_counted
        return frames

    def _leave_out_lead(self, first: av.VideoFrame) -> None:
        """Forget packets shown before the first frame, unless a key frame is among them."""
        opened = first.opaque if isinstance(first.opaque, int) else 0
        lead = [
            number
            for number, (time, _, _) in self._pending.items()
            if (number < opened if time is None or first.pts is None else time < first.pts)
        ]
        if any(self._pending[number][2] for number in lead):
            return
        if lost := self._without_frame(lead):
            log.warning(
                "%s: %d frames at the beginning refer to frames before the file; leaving out",
                self._path,
                lost,
            )

    def _times_between(self, start: int | None, end: int | None) -> list[int]:
        """Return the times of lost frames after ``start``, and before ``end`` if it is not None."""
        if start is None:
            return []
        found = {
            number: time
            for number, (time, _, _) in self._pending.items()
            if time is not None and start < time and (end is None or time < end)
        }
        times = [time for number, time in found.items() if self._without_frame([number])]
        self._lost += len(times)
        self._repeated += len(times)
        return sorted(times)

    def _without_frame(self, numbers: list[int]) -> int:
        """Forget packets; return how many should have given a frame, as second fields should not."""
        count = 0
        for number in numbers:
            kind = self._headers.kind(self._pending.pop(number)[1])
            if kind == "field" and number - 1 != self._second:
                self._second = number
            else:
                count += kind != "none"
        return count

    def _check(self, before: int) -> None:
        """Count the packets numbered less than ``before`` that gave no frame; they may be an error."""
        if numbers := [number for number in self._pending if number < before]:
            self._lost += self._without_frame(numbers)
            if self._lost > 0:
                self._fail(f"{self._lost} or more frames do not decode")

    def _fail(self, reason: str | None) -> None:
        if self._on_damage == "error":
            raise UserError(
                f"{self._path} is damaged or truncated after {self._count} frames ({reason}); copy it again, "
                "or pass on_damage=repeat or drop"
            )

    def _report(self) -> None:
        if self._lost > 0:
            log.warning(
                "%s: %d frames do not decode; the frame before takes the place of %d, %d are left out",
                self._path,
                self._lost,
                self._repeated,
                self._lost - self._repeated,
            )

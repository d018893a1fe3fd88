"""Packets of the picture that give no frame of their own: hidden frames, second fields and empty pictures."""

from typing import Literal

import av

HEAD = 4096
"""Bytes of a packet that suffice: headers and user data before the first slice."""

_COUNTED = ("h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "vp8", "vp9", "av1")
_NOT_CODED = 10  # bytes; MPEG-4 says "as before" with a picture header alone
_EXTENSION = b"\0\0\1\xb5"


def are_counted(stream: av.VideoStream) -> bool:
    """Return True if each packet of a stream gives one frame, but for those that ``FrameHeaders`` finds."""
    return stream.codec.intra_only or stream.codec.canonical_name in _COUNTED


def has_captions(packet: bytes) -> bool:
    """Return True if a packet carries closed captions: ATSC A/53 or DVD user data before its slices."""
    return b"GA94\3" in packet or b"\0\0\1\xb2CC\1" in packet


class FrameHeaders:
    """Reader of frame headers.

    Args:
        stream: the stream.
    """

    def __init__(self, stream: av.VideoStream) -> None:
        self._codec, extra = stream.codec.canonical_name, stream.codec_context.extradata or b""
        self._has_start_codes = extra[:1] != b"\1"  # else MP4 or Matroska, where a packet has both fields
        self._sequence = _sequence(extra)

    def kind(self, packet: bytes) -> Literal["frame", "field", "none"]:
        """Return the picture that a packet holds, by its first ``HEAD`` bytes; hidden frames are none."""
        if self._codec == "vp8":
            return "frame" if packet[0] & 16 else "none"
        if self._codec == "vp9":
            return "frame" if _is_shown(packet) else "none"
        if self._codec == "mpeg4":
            return "frame" if len(packet) > _NOT_CODED else "none"
        is_field = (self._codec == "mpeg2video" and _is_mpeg2_field(packet)) or (
            self._codec == "h264" and self._has_start_codes and self._is_field(packet)
        )
        return "field" if is_field else "frame"

    def _is_field(self, packet: bytes) -> bool:
        self._sequence = _sequence(packet) or self._sequence
        if not self._sequence:
            return False
        frame_number_bits, may_be_field, planes = self._sequence
        for unit in _units(packet):
            if unit[0] & 31 in (1, 5):
                bits = _Bits(unit[1:40])
                for _ in range(3):  # first_mb_in_slice, slice_type, pic_parameter_set_id
                    bits.golomb()
                bits.read(2 * planes + frame_number_bits)
                return may_be_field and bool(bits.read(1))
        return False


def _is_mpeg2_field(packet: bytes) -> bool:
    """Return True if the picture coding extension has a picture_structure other than a frame."""
    start = packet.find(_EXTENSION)
    while start >= 0:
        extension = packet[start + 4 : start + 7]
        if len(extension) == 3 and extension[0] >> 4 == 8:
            return extension[2] & 3 != 3
        start = packet.find(_EXTENSION, start + 4)
    return False


def _is_shown(packet: bytes) -> bool:
    """Return True if a VP9 packet shows a frame; a superframe does."""
    if packet[-1] & 0xE0 == 0xC0:
        return True
    bits = _Bits(packet[:4])
    bits.read(2)
    profile = bits.read(1) + 2 * bits.read(1)
    bits.read(profile == 3)
    if bits.read(1):  # show_existing_frame
        return True
    bits.read(1)  # frame_type
    return bool(bits.read(1))


def _sequence(data: bytes) -> tuple[int, bool, bool] | None:
    """Return bits of frame_num, and whether fields and separate planes are allowed, by H.264's SPS."""
    for unit in _units(data):
        if unit[0] & 31 != 7 or len(unit) < 5:
            continue
        bits = _Bits(unit[4:].replace(b"\0\0\3", b"\0\0"))
        bits.golomb()
        planes = False
        if unit[1] in (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135):
            chroma = bits.golomb()
            planes = chroma == 3 and bool(bits.read(1))
            for _ in range(2):  # bit depths
                bits.golomb()
            bits.read(1)
            if bits.read(1):  # scaling lists
                for index in range(8 if chroma != 3 else 12):
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
        frame_number_bits = bits.golomb() + 4
        order = bits.golomb()
        if order == 0:
            bits.golomb()
        elif order == 1:
            bits.read(1)
            for _ in range(2):
                bits.golomb()
            for _ in range(bits.golomb()):
                bits.golomb()
        bits.golomb()  # max_num_ref_frames
        bits.read(1)
        for _ in range(2):  # width, height
            bits.golomb()
        return frame_number_bits, not bits.read(1), planes
    return None


def _skip_scaling_list(bits: "_Bits", size: int) -> None:
    if not bits.read(1):
        return
    last = following = 8
    for _ in range(size):
        if following:
            code = bits.golomb()
            following = (last + (code + 1) // 2 * (1 if code % 2 else -1)) % 256
        last = following or last


def _units(data: bytes) -> list[bytes]:
    """Return the NAL units of H.264 after start codes; none is empty."""
    return [unit for unit in data.split(b"\0\0\1")[1:] if unit]


class _Bits:
    """Bits of a header, first to last; zeros after its end."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data), 8 * len(data)

    def read(self, count: int) -> int:
        self._left -= count
        return (self._value >> self._left if self._left >= 0 else 0) & ((1 << count) - 1)

    def golomb(self) -> int:
        """Return an unsigned Exp-Golomb code."""
        zeros = 0
        while zeros < 32 and self._left > 0 and not self.read(1):
            zeros += 1
        return (1 << zeros) - 1 + self.read(zeros)

"""PNG files of 8 and 16 bits per sample; Pillow writes no RGB of 16 bits, FFmpeg no ICC profile from PyAV.

Axes: h height, w width, c channels (RGB, and alpha where it is kept).
"""

import struct
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from PIL import Image

from dcvsr.video.deep_colour import deep_rgb

_HEADER = 8 + 25  # signature and IHDR


def write_png(path: Path, image: np.ndarray, profile: bytes | None = None) -> None:
    """Write a uint8 or uint16 image, ``h w c``, with an ICC profile."""
    if image.dtype == np.uint8:
        Image.fromarray(image).save(path, icc_profile=profile)
        return
    codec, kind = _codec("png", "w"), "rgba64" if image.shape[-1] == 4 else "rgb48"
    frame = av.VideoFrame.from_ndarray(image, f"{kind}le").reformat(format=f"{kind}be")
    codec.width, codec.height, codec.pix_fmt = frame.width, frame.height, f"{kind}be"
    data = b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode()])
    path.write_bytes(data[:_HEADER] + _profile(profile) + data[_HEADER:])


def read_16_bits(path: Path) -> np.ndarray:
    """Read a PNG or TIFF of 16-bit samples as uint16 ``h w c``, RGB and alpha, before any rotation.

    Raises:
        FFmpegError, StopIteration: if FFmpeg cannot decode it.
    """
    codec = _codec("png" if path.suffix.lower() == ".png" else "tiff", "r")
    packet = av.Packet(path.read_bytes())
    frame = next(iter([*codec.decode(packet), *codec.decode()]))
    if any(component.is_alpha for component in frame.format.components):
        return frame.reformat(format="rgba64le").to_ndarray()
    rgb = deep_rgb(frame, 1, full=True)
    return np.concatenate([rgb, np.full_like(rgb[..., :1], 65535)], -1)


def _codec(name: str, mode: Literal["r", "w"]) -> VideoCodecContext:
    codec = av.CodecContext.create(name, mode)
    assert isinstance(codec, VideoCodecContext)
    if mode == "w":
        codec.time_base = Fraction(1, 25)
    return codec


def _profile(profile: bytes | None) -> bytes:
    """Return the chunk iCCP."""
    if not profile:
        return b""
    content = b"iCCP" + b"ICC Profile\0\0" + zlib.compress(profile)
    return struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))

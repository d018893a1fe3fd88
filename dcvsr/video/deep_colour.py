"""Conversion between RGB and YCbCr of more than 8 bits in float32; swscale only resamples chroma.

swscale's own matrices are coarse there: colour bars are up to 5 levels of 10 bits off, and 17 of 12.
Axes: h height, w width, c channels (RGB, and alpha where it is kept).
"""

import av
import numpy as np
from av.video.reformatter import Interpolation

WHITE = 65535
"""Value of 1.0 in uint16 images."""

# Weights of red and blue in luma, by code point of the matrix in ITU-T H.273.
_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
_DEPTHS = (9, 10, 12, 14, 16)  # of FFmpeg's yuv444p
_ACCURATE = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)


def bits_of(pixel_format: av.VideoFormat) -> int:
    """Return the bits per sample of a format; 8 for those with fewer."""
    return max(8, *(component.bits for component in pixel_format.components))


def deep_rgb(frame: av.VideoFrame, matrix: int, full: bool) -> np.ndarray:
    """Convert a frame to uint16 RGB, ``h w c``, by its matrix and range; samples beyond it are clipped."""
    if frame.format.is_rgb:
        return frame.reformat(format="rgb48le", interpolation=_ACCURATE).to_ndarray()
    if len(frame.format.components) < 3:  # gray is of full range in FFmpeg, whatever its tag says
        bits = bits_of(frame.format)
        (gray,) = _planes(frame.reformat(format=f"gray{bits}le"), 1)
        return np.repeat((gray * (WHITE / (2**bits - 1))).round().astype(np.uint16)[..., None], 3, -1)
    bits = next(depth for depth in (*_DEPTHS, 16) if depth >= min(16, bits_of(frame.format)))
    y, u, v = _planes(_resampled(frame, f"yuv444p{bits}le", full), 3)
    scale, zero = 2.0 ** (bits - 8), 2.0 ** (bits - 1)
    black, luma, chroma = (0, 2**bits - 1, 2**bits - 1) if full else (16 * scale, 219 * scale, 224 * scale)
    kr, kb = _WEIGHTS[matrix]
    y, u, v = (y - black) / luma, (u - zero) / chroma, (v - zero) / chroma
    red, blue = y + (2 - 2 * kr) * v, y + (2 - 2 * kb) * u
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    return (np.stack([red, green, blue], -1) * WHITE).round().clip(0, WHITE).astype(np.uint16)


def deep_frame(image: np.ndarray, pixel_format: str, matrix: int, full: bool) -> av.VideoFrame:
    """Convert a uint16 image, ``h w c``, to a frame in ``pixel_format``, by a matrix and range."""
    target, has_alpha = av.VideoFormat(pixel_format), image.shape[-1] == 4
    if target.is_rgb:
        frame = av.VideoFrame.from_ndarray(image, "rgba64le" if has_alpha else "rgb48le")
        return frame.reformat(format=pixel_format, interpolation=_ACCURATE)
    bits = bits_of(target)
    scale, zero, top = 2.0 ** (bits - 8), 2.0 ** (bits - 1), 2**bits - 1
    black, luma, chroma = (0, top, top) if full else (16 * scale, 219 * scale, 224 * scale)
    kr, kb = _WEIGHTS[matrix]
    red, green, blue, *alpha = np.moveaxis(image.astype(np.float32) / WHITE, -1, 0)
    y = kr * red + (1 - kr - kb) * green + kb * blue
    u, v = (blue - y) / (2 - 2 * kb), (red - y) / (2 - 2 * kr)
    samples = [luma * y + black, chroma * u + zero, chroma * v + zero, *(top * plane for plane in alpha)]
    frame = av.VideoFrame(image.shape[1], image.shape[0], f"yuv{'a' * has_alpha}444p{bits}le")
    for plane, values in zip(frame.planes, samples, strict=True):
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        rows[:, : 2 * plane.width] = values.round().clip(0, top).astype("<u2").view(np.uint8)
        plane.update(rows.tobytes())
    return _resampled(frame, pixel_format, full)


def _resampled(frame: av.VideoFrame, pixel_format: str, full: bool) -> av.VideoFrame:
    """Resample chroma; equal matrices and ranges on both sides leave luma as it is."""
    limits = 2 if full else 1
    return frame.reformat(
        format=pixel_format,
        src_colorspace=1,
        dst_colorspace=1,
        src_color_range=limits,
        dst_color_range=limits,
        interpolation=_ACCURATE,
    )


def _planes(frame: av.VideoFrame, count: int) -> list[np.ndarray]:
    """Return the first planes of 16-bit samples as float32, ``h w``."""
    found = []
    for plane in frame.planes[:count]:
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        found.append(rows[:, : 2 * plane.width].copy().view("<u2").astype(np.float32))
    return found

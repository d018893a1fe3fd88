"""Conversion between RGB in memory and YCbCr in video files, by the file's colour matrix and range.

FFmpeg neither guesses a matrix from the frame size nor converts when only a tag changes, so this module
states the matrix in both directions. Numbers are the code points of ITU-T H.273, which FFmpeg uses.
"""

from dataclasses import dataclass, replace

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation

from dcvsr.video.deep_colour import deep_frame, deep_rgb

_RGB, _BT709, _BT601, _BT2020 = 0, 1, 6, 9
_HDR: dict[int, str] = {ColorTrc.SMPTE2084: "PQ", ColorTrc.ARIB_STD_B67: "HLG"}
# Matrices that PyAV can convert, by code point; 5 and 6 are the same matrix.
_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
_LACKING = {
    **{8: "YCgCo", 10: "BT.2020 with constant luminance", 11: "SMPTE 2085", 14: "ICtCp", 15: "IPT-C2"},
    **{12: "derived from chromaticity", 13: "derived from chromaticity", 16: "YCgCo-Re", 17: "YCgCo-Ro"},
}
_ACCURATE = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)


def lacking_matrix(frame: av.VideoFrame) -> str | None:
    """Return the name of a frame's matrix if it cannot be converted, else None."""
    return None if frame.format.is_rgb else _LACKING.get(frame.colorspace)


@dataclass(frozen=True)
class Colour:
    """Colour tags of a video file; primaries and transfer are copied to the output without conversion."""

    matrix: int
    range: int = ColorRange.MPEG
    primaries: int = ColorPrimaries.UNSPECIFIED
    transfer: int = ColorTrc.UNSPECIFIED

    @classmethod
    def untagged(cls, height: int) -> "Colour":
        """Return the colour of untagged video: BT.601 below 720 lines, else BT.709; limited range."""
        return cls(_BT601 if height < 720 else _BT709)

    @classmethod
    def of(cls, frame: av.VideoFrame) -> "Colour":
        """Return the colour tags of a decoded frame; the rule for untagged video fills in missing ones."""
        matrix = frame.colorspace if frame.colorspace in _MATRICES else cls.untagged(frame.height).matrix
        limits = frame.color_range or ColorRange.MPEG
        return cls(matrix, limits, frame.color_primaries, frame.color_trc)

    @classmethod
    def kept(cls, frame: av.VideoFrame) -> "Colour | None":
        """Return the tags that an output keeps of a frame; None for RGB without tags."""
        if not frame.format.is_rgb:
            return cls.of(frame)
        tags = frame.color_primaries, frame.color_trc
        return None if set(tags) <= {0, ColorPrimaries.UNSPECIFIED} else cls(_RGB, ColorRange.MPEG, *tags)

    def coded(self, height: int, is_rgb: bool) -> "Colour":
        """Return the colour that a file of ``height`` lines is coded with.

        RGB that becomes YCbCr takes a matrix by its primaries or size.
        """
        if is_rgb:
            return replace(self, matrix=_RGB, range=ColorRange.JPEG)
        if self.matrix != _RGB:
            return self
        wide = self.primaries == ColorPrimaries.BT2020
        return replace(self, matrix=_BT2020 if wide else Colour.untagged(height).matrix)

    @property
    def hdr(self) -> str | None:
        """Name of the transfer function of high dynamic range; None for others."""
        return _HDR.get(self.transfer)

    def to_rgb(self, frame: av.VideoFrame, deep: bool = False) -> np.ndarray:
        """Convert a decoded frame to RGB, ``h w c``: uint8, to which more bits are rounded, or uint16."""
        if deep:
            return deep_rgb(frame, self.matrix, self.range == ColorRange.JPEG)
        return self._reformat(frame, "rgb24", self.range, ColorRange.JPEG).to_ndarray()

    def from_rgb(self, image: np.ndarray, pixel_format: str) -> av.VideoFrame:
        """Convert a uint8 or uint16 image, ``h w c``, to a frame in ``pixel_format``, such as ``yuv420p``."""
        if image.dtype == np.uint16:
            frame = deep_frame(image, pixel_format, self.matrix, self.range == ColorRange.JPEG)
        else:
            frame = av.VideoFrame.from_ndarray(image, "rgba" if image.shape[-1] == 4 else "rgb24")
            frame = self._reformat(frame, pixel_format, ColorRange.JPEG, self.range)
        self.tag(frame)  # for ProRes; other encoders take the tags of their context
        return frame

    def tag(self, context: av.VideoCodecContext | av.VideoFrame) -> None:
        """Set these colour tags on an encoder or a frame."""
        context.colorspace, context.color_range = self.matrix, self.range
        context.color_primaries, context.color_trc = self.primaries, self.transfer

    def _reformat(self, frame: av.VideoFrame, pixel_format: str, source: int, target: int) -> av.VideoFrame:
        matrix = _MATRICES.get(self.matrix, Colorspace.ITU709)  # RGB to RGB needs none
        return frame.reformat(
            format=pixel_format,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=source,
            dst_color_range=target,
            interpolation=_ACCURATE,
        )

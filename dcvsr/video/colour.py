"""Conversion between RGB in memory and YCbCr in video files, by the file's colour matrix and range.

FFmpeg neither guesses a matrix from the frame size nor converts when only a tag changes, so this module
states the matrix in both directions. Numbers are the code points of ITU-T H.273, which FFmpeg uses.
"""

from dataclasses import dataclass

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation

_BT709, _BT601 = 1, 6
# Matrices that PyAV can convert, by code point; 5 and 6 are the same matrix.
_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
_ACCURATE = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)


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

    def to_rgb(self, frame: av.VideoFrame) -> np.ndarray:
        """Convert a decoded frame to uint8 RGB, ``h w c``; samples of more bits are rounded to 8."""
        return self._reformat(frame, "rgb24", self.range, ColorRange.JPEG).to_ndarray()

    def from_rgb(self, image: np.ndarray, pixel_format: str) -> av.VideoFrame:
        """Convert a uint8 RGB image, ``h w c``, to a frame in ``pixel_format``, such as ``yuv420p``."""
        frame = av.VideoFrame.from_ndarray(image, "rgb24")
        return self._reformat(frame, pixel_format, ColorRange.JPEG, self.range)

    def tag(self, context: av.VideoCodecContext) -> None:
        """Set these colour tags on an encoder."""
        context.colorspace, context.color_range = self.matrix, self.range
        context.color_primaries, context.color_trc = self.primaries, self.transfer

    def _reformat(self, frame: av.VideoFrame, pixel_format: str, source: int, target: int) -> av.VideoFrame:
        matrix = _MATRICES[self.matrix]
        return frame.reformat(
            format=pixel_format,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=source,
            dst_color_range=target,
            interpolation=_ACCURATE,
        )

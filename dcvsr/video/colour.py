"""The colour of coded video: RGB in memory, YCbCr in a file, by the matrix and range that the file names.

FFmpeg neither guesses a matrix from the picture's size nor converts when only a tag changes, so both
directions are spelled out here. Numbers are the code points of ITU-T H.273, which FFmpeg uses.
"""

from dataclasses import dataclass

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation

_BT709, _BT601 = 1, 6
# What PyAV can have converted, by code point; 5 and 6 are one matrix.
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
    """How a file codes RGB; primaries and transfer are carried, never converted."""

    matrix: int
    range: int = ColorRange.MPEG
    primaries: int = ColorPrimaries.UNSPECIFIED
    transfer: int = ColorTrc.UNSPECIFIED

    @classmethod
    def untagged(cls, height: int) -> "Colour":
        """BT.601 below 720 lines, else BT.709; limited range."""
        return cls(_BT601 if height < 720 else _BT709)

    @classmethod
    def of(cls, frame: av.VideoFrame) -> "Colour":
        """What a decoded frame is tagged with, completed by the rule for untagged video."""
        matrix = frame.colorspace if frame.colorspace in _MATRICES else cls.untagged(frame.height).matrix
        limits = frame.color_range or ColorRange.MPEG
        return cls(matrix, limits, frame.color_primaries, frame.color_trc)

    def to_rgb(self, frame: av.VideoFrame) -> np.ndarray:
        """A decoded frame as ``h w c``, uint8; deeper samples are rounded to 8 bits."""
        return self._reformat(frame, "rgb24", self.range, ColorRange.JPEG).to_ndarray()

    def from_rgb(self, image: np.ndarray, pixel_format: str) -> av.VideoFrame:
        """An ``h w c`` uint8 image as a frame to encode in ``pixel_format``, e.g. ``yuv420p``."""
        frame = av.VideoFrame.from_ndarray(image, "rgb24")
        return self._reformat(frame, pixel_format, ColorRange.JPEG, self.range)

    def tag(self, context: av.VideoCodecContext) -> None:
        """Write this colour on an encoder."""
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

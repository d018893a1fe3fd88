"""Codec, pixel format and options of the picture of an output, and a trial of them before the work."""

import io
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.codec import Codec

from dcvsr.runtime.errors import UserError
from dcvsr.video.container import CONTAINERS
from dcvsr.video.deep_colour import bits_of

log = logging.getLogger(__name__)

ENCODERS = {"x264": "libx264", "x265": "libx265", "ffv1": "ffv1", "prores": "prores_ks", "av1": "libsvtav1"}
"""FFmpeg's encoders by the names of ``codec``."""

# Pixel formats by least bits per sample; those of odd sizes and with alpha are not subsampled.
_FORMATS = {
    "x264": {8: "yuv420p", 10: "yuv420p10le"},
    "x265": {8: "yuv420p", 10: "yuv420p10le", 12: "yuv420p12le"},
    "ffv1": {8: "yuv444p", 10: "yuv444p10le", 12: "yuv444p12le", 16: "yuv444p16le"},
    "prores": {10: "yuv422p10le"},
    "av1": {8: "yuv420p", 10: "yuv420p10le"},
    "png": {8: "rgb24", 16: "rgb48be"},
}
_WITH_CRF = ("x264", "x265", "av1")
_TRIAL = 128  # pixels; SVT-AV1 takes no less than 64

_LEAST_OF_X265 = 64
"""Pixels of width or height, one coding tree unit; libx265 corrupts the heap at 48x32."""

SHORT = 3
"""Frames that x265 needs to reorder."""


@dataclass(frozen=True)
class Coding:
    """Coding of the picture of a video file, or of the PNGs of a folder.

    Attributes:
        codec: a key of ``ENCODERS``; folders take PNG whatever it is.
        crf: constant rate factor of x264, x265 and AV1, from 0 (best quality) to 51.
        pix_fmt: FFmpeg's name of a pixel format; None for 4:2:0, or 4:4:4 for odd sizes and in FFV1, with
            the depth of the source.
        options: further options of the encoder, by FFmpeg's names.
    """

    codec: str = "x264"
    crf: float = 16
    pix_fmt: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def settled(self, output: Path, bits: int, has_alpha: bool, size: tuple[int, int]) -> "Coding":
        """Return the coding with a pixel format that the encoder takes.

        Args:
            output: the file or folder.
            bits: bits per sample of the source.
            has_alpha: True if the frames have alpha.
            size: height and width of the output.

        Raises:
            UserError: if the codec is unknown, or the pixel format is unknown to it or does not hold alpha or
                the size, or the size is too small for x265.
        """
        codec = self.codec if output.suffix else "png"
        if codec not in _FORMATS or self.codec not in ENCODERS:
            raise UserError(f"codec={self.codec} is not a codec; choose {', '.join(ENCODERS)}")
        if codec == "x265" and max(size) < _LEAST_OF_X265:
            raise UserError(
                f"codec=x265 takes no picture as small as {size[1]}x{size[0]}; use codec=x264, or a width or "
                f"height of {_LEAST_OF_X265} or more"
            )
        is_odd = any(side % 2 for side in size)
        taken = [found.name for found in Codec(ENCODERS.get(codec, codec), "w").video_formats or ()]
        pix_fmt = self.pix_fmt or _default(codec, bits, has_alpha, is_odd)
        if pix_fmt not in taken:
            if self.pix_fmt:
                raise UserError(
                    f"pix_fmt={pix_fmt} is not a pixel format of {codec}; choose {', '.join(taken)}"
                )
            lack = "alpha" if has_alpha else "sizes that are odd"
            others = (
                "codec=ffv1 or codec=prores" if has_alpha else "another codec, or region= of an even size"
            )
            ways = "a folder of PNGs, " + others + (", or use alpha=ignore" if has_alpha else "")
            raise UserError(f"{output} cannot hold {lack} with codec={codec}: write {ways}")
        chosen = av.VideoFormat(pix_fmt)
        if has_alpha and not any(component.is_alpha for component in chosen.components):
            raise UserError(f"pix_fmt={pix_fmt} does not hold alpha; leave it out, or use alpha=ignore")
        if is_odd and (chosen.chroma_width(2) == 1 or chosen.chroma_height(2) == 1):
            raise UserError(f"pix_fmt={pix_fmt} takes no odd sizes such as {size[1]}x{size[0]}; leave it out")
        if self.pix_fmt is None and bits_of(chosen) < min(bits, 16):
            log.warning("%s: %s holds %d of %d bits per sample", output, codec, bits_of(chosen), bits)
        return replace(self, pix_fmt=pix_fmt)

    @property
    def bits(self) -> int:
        """Bits per sample of the pixel format."""
        return bits_of(av.VideoFormat(self.pix_fmt or "yuv420p"))

    def add_to(self, output: Any, rate: Fraction, size: tuple[int, int], is_short: bool) -> av.VideoStream:
        """Add a stream of this coding to an output container.

        Args:
            output: the container, open for writing.
            rate: frames per second.
            size: height and width.
            is_short: True if fewer than ``SHORT`` frames come.
        """
        options = {"crf": f"{self.crf:g}"} if self.codec in _WITH_CRF else {}
        options |= {key: str(value) for key, value in self.options.items()}
        if self.codec == "x265":  # x265 invents decoding times of clips that are shorter than its reordering
            own = ["log-level=error", *["bframes=0"] * is_short, options.get("x265-params")]
            options["x265-params"] = ":".join(filter(None, own))
        os.environ.setdefault("SVT_LOG", "1")  # errors only; the library prints on its own
        stream = output.add_stream(ENCODERS[self.codec], rate, options)
        stream.height, stream.width = size
        stream.pix_fmt = self.pix_fmt
        return stream

    def check(self, output: Path) -> None:
        """Encode a small picture for the container of ``output``.

        Raises:
            UserError: if the container or the encoder refuses; the message names what would work.
        """
        suffix = output.suffix.lower()
        if not suffix:
            return
        if reason := self._refusal(suffix):
            others = [other for other in CONTAINERS if other != suffix and not self._refusal(other)]
            if others:
                raise UserError(
                    f"{suffix} cannot hold {self.codec} ({reason}); write to {' or '.join(others)}"
                )
            options = ", ".join(f"{key}={value}" for key, value in self.options.items()) or "none"
            raise UserError(
                f"codec={self.codec} refuses pix_fmt={self.pix_fmt} with codec_options {options} ({reason}); "
                "change them"
            )

    def _refusal(self, suffix: str) -> str | None:
        """Return the reason why a file of this suffix cannot be written; None if it can."""
        try:
            with av.open(io.BytesIO(), "w", CONTAINERS[suffix]) as trial:
                stream = self.add_to(trial, Fraction(25), (_TRIAL, _TRIAL), is_short=False)
                for number in range(SHORT):
                    frame = av.VideoFrame(_TRIAL, _TRIAL, self.pix_fmt or "")
                    for plane in frame.planes:
                        plane.update(bytes(plane.buffer_size))
                    frame.pts = number
                    trial.mux(stream.encode(frame))
                trial.mux(stream.encode())
                if unknown := [key for key in self.options if key in stream.codec_context.options]:
                    return f"it has no option {unknown[0]}"
        except (av.FFmpegError, ValueError, KeyError) as error:
            return getattr(error, "strerror", None) or str(error)
        return None


def _default(codec: str, bits: int, has_alpha: bool, is_odd: bool) -> str:
    depths = _FORMATS[codec]
    name = depths[next((depth for depth in depths if depth >= min(bits, 16)), max(depths))]
    if codec == "png":
        return name.replace("rgb24", "rgba").replace("rgb48", "rgba64") if has_alpha else name
    if has_alpha:
        name = name.replace("yuv", "yuva")
    return name.replace("420", "444").replace("422", "444") if is_odd or has_alpha else name

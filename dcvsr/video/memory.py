"""Videos in memory: frames, and the metadata that an output file keeps.

Axes: f frames, c channels (RGB), h height, w width.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from torch import Tensor

from dcvsr.video.colour import Colour


@dataclass(frozen=True, eq=False)
class Metadata:
    """A video without its frames; ``Metadata(rate)`` has evenly spaced frames, square pixels and no audio."""

    rate: Fraction  # average frames per second
    pts: tuple[int, ...] = ()  # display time of each frame, in units of time_base; empty: evenly spaced
    time_base: Fraction | None = None  # seconds
    aspect: Fraction = Fraction(1)  # width of a pixel over its height, as displayed
    colour: Colour | None = None
    source: Path | None = None  # file or folder of origin; audio and subtitles are copied from it
    names: tuple[str, ...] = ()  # of the frames of a folder, without suffix
    span: tuple[Fraction, Fraction | None] | None = None  # times in source to copy audio of, s; None: all
    bits: int = 8  # per sample; output has as many unless a pixel format is given
    profile: bytes | None = None  # ICC profile of the frames of a folder


@dataclass(frozen=True, eq=False)
class _Frames:
    frames: Tensor  # uint8, f c h w, as displayed


# Dataclasses take the fields of the last base first: Video(frames, rate, ...).
@dataclass(frozen=True, eq=False)
class Video(Metadata, _Frames):
    """A video; ``Video(frames, rate)`` alone has evenly spaced frames, square pixels and no audio."""

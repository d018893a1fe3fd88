"""Videos in memory: frames, and what a file made from them must keep.

Axes: f frames, c channels (RGB), h height, w width.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from torch import Tensor

from dcvsr.video.colour import Colour


@dataclass(frozen=True, eq=False)
class Video:
    """A video; ``Video(frames, rate)`` alone is a plain clip: even times, square pixels, no audio."""

    frames: Tensor  # uint8, f c h w, as displayed
    rate: Fraction  # average frames per second
    pts: tuple[int, ...] = ()  # when each frame is shown, in units of time_base; empty: at the rate
    time_base: Fraction | None = None  # seconds
    aspect: Fraction = Fraction(1)  # width of a pixel over its height, as displayed
    colour: Colour | None = None
    source: Path | None = None  # what was read; audio and subtitles are copied from it
    names: tuple[str, ...] = ()  # of a folder's frames, without suffix

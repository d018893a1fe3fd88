"""First pass over a video: its frames into a store, its cuts and its hash."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor
from tqdm import tqdm

from dcvsr.data.shots import CutDetector
from dcvsr.imaging import to_bytes, to_unit
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import read_text
from dcvsr.runtime.frame_stores import FrameStore
from dcvsr.upscaling.target_size import TargetSize
from dcvsr.video.memory import Metadata
from dcvsr.video.reader import Reader


@dataclass(frozen=True)
class ReadVideo:
    """A video that was read into a store.

    Attributes:
        frames: store of its frames, ``c h w``, uint8, or uint16 of sources with more than 8 bits.
        shape: number of frames, height and width.
        sha256: hash of all frames.
        shots: ranges of frames between cuts, in order.
        metadata: all that an output keeps.
        target: sizes of what the upscaler receives and of the result.
        channels: c; 4 with alpha.
    """

    frames: FrameStore | None
    shape: tuple[int, int, int]
    sha256: str
    shots: Sequence[range]
    metadata: Metadata
    target: TargetSize
    channels: int = 3

    @property
    def sizes(self) -> list[tuple[int, int, int]]:
        """Frames, height and width of each shot as the upscaler receives it."""
        return [(len(shot), *self.target.inputs) for shot in self.shots]

    @property
    def longest(self) -> tuple[int, int, int]:
        """Those of the longest shot."""
        return max(self.sizes)


def read_into(store: FrameStore | None, reader: Reader, cuts: "Cuts", target: TargetSize) -> ReadVideo:
    """Read all frames of a video into ``store``; None to learn their number and cuts only.

    Raises:
        UserError: if the video is damaged, the store cannot be written, or a cut lies beyond its end.
    """
    length, sha256, starts = 0, hashlib.sha256(), [0]
    for frame in tqdm(reader, desc="read", total=reader.length, unit="frame", leave=False, delay=1):
        if store:
            store.write(length, frame[None])
        sha256.update(frame.contiguous().numpy().data)
        if cuts(length, to_bytes(to_unit(frame[:3])) if reader.bits > 8 else frame[:3]):
            starts.append(length)
        length += 1
    span = reader.metadata.span
    if span is None or span[1] is None:  # the part ends where the video does
        cuts.ended(reader.path, length)
    shots = [range(*ends) for ends in pairwise([*starts, length])]
    shape = length, *reader.shape
    return ReadVideo(store, shape, sha256.hexdigest(), shots, reader.metadata, target, reader.channels)


class Cuts(Protocol):
    """Rule that tells where shots begin."""

    def __call__(self, number: int, frame: Tensor) -> bool:
        """Return True if ``frame``, uint8 ``c h w``, is the first of another shot."""
        ...

    def ended(self, path: Path, length: int) -> None:
        """Raise UserError if a cut lies beyond the end of the video ``path``, after ``length`` frames."""
        ...


def cut_rule(cuts: Any, start: int = 0) -> Cuts:
    """Return the rule that ``engine.cuts`` names: ``detect``, ``none``, or a file of frame numbers.

    Args:
        cuts: the name or file.
        start: first frame that is read; the numbers of a file are those of the whole video.

    Raises:
        UserError: if it is none of them, or the file holds something else.
    """
    if cuts == "detect":
        return _Detected()
    if cuts == "none":
        return _Listed([], start)
    file = Path(str(cuts)).expanduser()
    if not file.is_file():
        raise UserError(f"engine.cuts={cuts} is not a file; pass detect, none, or a file of frame numbers")
    words = read_text(file).replace(",", " ").split()
    for word in words:
        if not word.isdecimal():
            raise UserError(f"{file}: {word} is not the number of a frame; write one in each line")
    return _Listed([int(word) for word in words], start)


class _Listed(Cuts):
    """Cuts at given frames of the whole video."""

    def __init__(self, numbers: Sequence[int], start: int) -> None:
        self._numbers, self._start = frozenset(numbers), start

    def __call__(self, number: int, frame: Tensor) -> bool:
        return number > 0 and self._start + number in self._numbers

    def ended(self, path: Path, length: int) -> None:
        frames, last = self._start + length, max(self._numbers, default=0)
        if last >= frames:
            raise UserError(f"engine.cuts: {path} has {frames} frames and no frame {last}; remove this cut")


class _Detected(Cuts):
    """Cuts by PySceneDetect; the end of a flash is none, because shots of a few frames give little to see."""

    def __init__(self) -> None:
        self._detector, self._last = CutDetector(_THRESHOLD), 0

    def __call__(self, number: int, frame: Tensor) -> bool:
        if not self._detector(frame) or number - self._last < _LEAST:
            return False
        self._last = number
        return True

    def ended(self, path: Path, length: int) -> None:
        pass


_THRESHOLD = 27
"""PySceneDetect's default."""

_LEAST = 4
"""Least number of frames between two cuts."""

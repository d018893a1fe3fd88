"""First pass over a video: its frames into a store, its cuts and its hash."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from dcvsr.data.shots import CutDetector
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import read_text
from dcvsr.runtime.frame_stores import FrameStore
from dcvsr.video.memory import Metadata
from dcvsr.video.reader import Reader


@dataclass(frozen=True)
class ReadVideo:
    """A video that was read into a store.

    Attributes:
        frames: store of its frames, uint8 ``c h w``.
        shape: number of frames, height and width.
        sha256: hash of all frames.
        shots: ranges of frames between cuts, in order.
        metadata: all that an output keeps.
    """

    frames: FrameStore | None
    shape: tuple[int, int, int]
    sha256: str
    shots: Sequence[range]
    metadata: Metadata


def read_into(store: FrameStore | None, reader: Reader, cuts: "Cuts") -> ReadVideo:
    """Read all frames of a video into ``store``; None to learn their number and cuts only.

    Raises:
        UserError: if the video is damaged, the store cannot be written, or a cut lies outside the video.
    """
    length, sha256, starts = 0, hashlib.sha256(), [0]
    for frame in tqdm(reader, desc="read", total=reader.length, unit="frame", leave=False, delay=1):
        if store:
            store.write(length, frame[None])
        sha256.update(frame.contiguous().numpy().data)
        if cuts(length, frame):
            starts.append(length)
        length += 1
    shots = [range(*ends) for ends in pairwise([*starts, length])]
    return ReadVideo(store, (length, *reader.shape), sha256.hexdigest(), shots, reader.metadata)


Cuts = Callable[[int, Tensor], bool]
"""``(number, frame c h w) -> True`` if the frame is the first of another shot."""


def cut_rule(cuts: Any) -> Cuts:
    """Return the rule that ``engine.cuts`` names: ``detect``, ``none``, or a file of frame numbers.

    Raises:
        UserError: if it is none of them, or the file holds something else.
    """
    if cuts == "none":
        return lambda number, frame: False
    if cuts == "detect":
        return _Detected()
    file = Path(str(cuts)).expanduser()
    if not file.is_file():
        raise UserError(f"engine.cuts={cuts} is not a file; pass detect, none, or a file of frame numbers")
    try:
        numbers = {int(word) for word in read_text(file).replace(",", " ").split()}
    except ValueError as error:
        raise UserError(f"{file} holds more than frame numbers ({error}); write one in each line") from error
    return lambda number, frame: number in numbers and number > 0


class _Detected:
    """Cuts by PySceneDetect; the end of a flash is none, because shots of a few frames give little to see."""

    def __init__(self) -> None:
        self._detector, self._last = CutDetector(_THRESHOLD), 0

    def __call__(self, number: int, frame: Tensor) -> bool:
        if not self._detector(frame) or number - self._last < _LEAST:
            return False
        self._last = number
        return True


_THRESHOLD = 27
"""PySceneDetect's default."""

_LEAST = 4
"""Least number of frames between two cuts."""

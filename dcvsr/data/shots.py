"""Shot detection with PySceneDetect; results are cached.

Axes: f frames, c colours, h w pixels.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from einops import rearrange
from scenedetect import ContentDetector, FrameTimecode
from torch import Tensor
from tqdm import tqdm

from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import read_json, write_whole

WIDTH = 256
"""Width to which frames are downsampled, as PySceneDetect does: much faster, and finds the same cuts."""


class ShotSource(Protocol):
    """Frames in which to detect cuts."""

    @property
    def name(self) -> str:
        """Name in errors and progress bars."""
        ...

    @property
    def digest(self) -> str:
        """Hash that identifies the frames; the cache key."""
        ...

    def __len__(self) -> int:
        """Return the number of frames."""
        ...

    def read(self, start: int, count: int) -> Tensor:
        """Return frames ``start`` to ``start + count - 1``: uint8 ``count c h w``."""
        ...


class Shots(Protocol):
    """Protocol of shot detectors."""

    def __call__(self, clip: ShotSource) -> Sequence[range]:
        """Return the frames of each shot, in order; together they are all frames."""
        ...


@dataclass(frozen=True)
class OneShot:
    """Shot detector for clips that are known to have no cut."""

    def __call__(self, clip: ShotSource) -> Sequence[range]:
        """Return one shot of all frames."""
        return [range(len(clip))]


@dataclass(frozen=True)
class Detected:
    """Shots by PySceneDetect's content detector, cached; it does not find fades between shots.

    Args:
        cache: folder for the results.
        threshold: mean change of hue, saturation and brightness, in levels of 255, that counts as a cut.
    """

    cache: Path | str
    threshold: float

    def __call__(self, clip: ShotSource) -> Sequence[range]:
        """Return the frames of each shot, in order.

        Raises:
            UserError: if frames cannot be read, or ``cache`` cannot be written.
        """
        known = Path(self.cache, f"{clip.digest}-cuts-{self.threshold:g}.json")
        if not known.exists():
            cuts = json.dumps(_cuts(clip, self.threshold))
            try:
                write_whole(known, cuts)
            except UserError as error:
                reason = f"cannot store the cuts of {clip.name} in {self.cache}"
                raise UserError(f"{reason} ({error.__cause__}); name another folder, runs=FOLDER") from error
        return [range(*ends) for ends in pairwise([0, *read_json(known), len(clip)])]


class CutDetector:
    """PySceneDetect's content detector on frames in order; a flash is a shot of one frame.

    Args:
        threshold: mean change of hue, saturation and brightness, in levels of 255, that counts as a cut.
    """

    def __init__(self, threshold: float) -> None:
        self._detector, self._number = ContentDetector(threshold, min_scene_len=0), 0

    def __call__(self, frame: Tensor) -> bool:
        """Return True if the next frame, uint8 ``c h w``, begins another shot."""
        image = np.ascontiguousarray(rearrange(frame.numpy()[::-1], "c h w -> h w c"))
        height, width, _ = image.shape
        side = min(WIDTH, width)
        small = cv2.resize(image, (side, max(1, height * side // width)), interpolation=cv2.INTER_AREA)
        cuts = self._detector.process_frame(FrameTimecode(self._number, fps=25.0), small)
        self._number += 1
        return bool(cuts)


def _cuts(clip: ShotSource, threshold: float) -> list[int]:
    """Return the first frame of each shot but the first."""
    is_cut = CutDetector(threshold)
    indices = tqdm(range(len(clip)), desc=f"{clip.name}: cuts", unit="frame", leave=False, delay=1)
    return [index for index in indices if is_cut(clip.read(index, 1)[0])]

"""Where one shot ends and the next begins, found once by PySceneDetect.

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
"""Pixels to which frames are reduced, as PySceneDetect does: cuts are seen as well, and much sooner."""


class ShotSource(Protocol):
    """What cuts are looked for in."""

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str:
        """Names what is shown: other frames, another digest."""
        ...

    def __len__(self) -> int: ...

    def read(self, start: int, count: int) -> Tensor:
        """uint8 ``count c h w``."""
        ...


class Shots(Protocol):
    """Finds the frames of each shot, in order; together they are all frames."""

    def __call__(self, clip: ShotSource) -> Sequence[range]: ...


@dataclass(frozen=True)
class OneShot:
    """For clips that are known to have no cut."""

    def __call__(self, clip: ShotSource) -> Sequence[range]:
        return [range(len(clip))]


@dataclass(frozen=True)
class Detected:
    """By PySceneDetect's content detector, remembered in ``cache``; fades between shots it does not find.

    Args:
        cache: folder.
        threshold: mean change of hue, saturation and brightness, in levels of 255, that makes a cut.
    """

    cache: Path | str
    threshold: float

    def __call__(self, clip: ShotSource) -> Sequence[range]:
        """
        Raises:
            UserError: if frames cannot be read, or ``cache`` cannot be written.
        """
        known = Path(self.cache, f"{clip.digest}-cuts-{self.threshold:g}.json")
        if not known.exists():
            cuts = json.dumps(_cuts(clip, self.threshold))
            try:
                write_whole(known, cuts)
            except UserError as error:
                reason = f"{self.cache} cannot remember the cuts of {clip.name}"
                raise UserError(f"{reason} ({error.__cause__}); name another folder, runs=FOLDER") from error
        return [range(*ends) for ends in pairwise([0, *read_json(known), len(clip)])]


def _cuts(clip: ShotSource, threshold: float) -> list[int]:
    """First frames of all shots but the first; a flash is a shot of one frame."""
    detector, cuts = ContentDetector(threshold, min_scene_len=0), []
    for index in tqdm(range(len(clip)), desc=f"{clip.name}: cuts", unit="frame", leave=False, delay=1):
        image = np.ascontiguousarray(rearrange(clip.read(index, 1).numpy()[0, ::-1], "c h w -> h w c"))
        height, width, _ = image.shape
        side = min(WIDTH, width)
        small = cv2.resize(image, (side, max(1, height * side // width)), interpolation=cv2.INTER_AREA)
        cuts += detector.process_frame(FrameTimecode(index, fps=25.0), small)
    return [cut.frame_num for cut in cuts]

"""Which part of which clip a sample shows.

Axes: f frames, c colours, h w pixels.
"""

from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from dcvsr.data.clips import Clip
from dcvsr.errors import UserError


class RandomCrops(Dataset[dict[str, Tensor]]):
    """``count`` samples ``{"hr": uint8 f c crop crop}`` (spec A26), each a function of (seed, index) alone.

    First frames are drawn from all clips alike: a clip weighs by its length, as in training sets where every
    frame is an entry. Were it to weigh by its pixels too, one large clip would drown all small ones.

    Raises:
        UserError: if a clip is shorter than ``frames`` or smaller than ``crop``, or there is none.
    """

    def __init__(self, clips: Mapping[str, Clip], frames: int, crop: int, count: int, seed: int) -> None:
        _require_room(clips, frames, crop)
        self._clips = list(clips.values())
        self._ends = list(accumulate(len(clip) - frames + 1 for clip in self._clips))
        self._frames, self._crop, self._count, self._seed = frames, crop, count, seed

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([self._seed, index])
        first_frame = int(rng.integers(self._ends[-1]))
        number = bisect_right(self._ends, first_frame)
        clip, end = self._clips[number], self._ends[number]
        start = first_frame - end + len(clip) - self._frames + 1
        top, left = (int(rng.integers(side - self._crop + 1)) for side in clip.size)
        hr = clip.read(start, self._frames, slice(top, top + self._crop), slice(left, left + self._crop))
        return {"hr": hr.flip(-1) if rng.random() < 0.5 else hr}


class CentreCrops(Dataset[dict[str, Any]]):
    """The middle of every clip's first frames: ``{"hr": uint8 1 f c crop crop, "name": str}``.

    Raises:
        UserError: if a clip is shorter than ``frames`` or smaller than ``crop``, or there is none.
    """

    def __init__(self, clips: Mapping[str, Clip], frames: int, crop: int) -> None:
        _require_room(clips, frames, crop)
        self._clips = list(clips.items())
        self._frames, self._crop = frames, crop

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> dict[str, Any]:
        name, clip = self._clips[index]
        top, left = ((side - self._crop) // 2 for side in clip.size)
        hr = clip.read(0, self._frames, slice(top, top + self._crop), slice(left, left + self._crop))
        return {"hr": hr[None], "name": name}


def _require_room(clips: Mapping[str, Clip], frames: int, crop: int) -> None:
    if not clips:
        raise UserError("no clips; name at least one")
    for name, clip in clips.items():
        height, width = clip.size
        if len(clip) < frames or min(clip.size) < crop:
            raise UserError(
                f"clip {name} is {width}x{height}, {len(clip)} frames: too small for crops of {crop}x{crop}, "
                f"{frames} frames; ask for smaller crops or leave it out"
            )

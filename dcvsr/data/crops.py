"""Which part of which clip a sample shows.

Axes: f frames, c colours, h w pixels.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from dcvsr.data.clips import Clip
from dcvsr.data.pairs import Pair
from dcvsr.imaging import FACTOR
from dcvsr.runtime.errors import UserError

Clips = Mapping[str, Clip] | Mapping[str, Pair]


class RandomCrops(Dataset[dict[str, Any]]):
    """``count`` samples ``{"hr": uint8 f c crop crop}`` (spec A26); of a `Pair` also ``"lr"``.

    Each is a function of (seed, epoch, number) alone, says its epoch and number, and shows one shot.

    First frames are drawn from all clips alike: a clip weighs by its length, as in training sets where every
    frame is an entry. Were it to weigh by its pixels too, one large clip would drown all small ones.

    Raises:
        UserError: if a clip is smaller than ``crop``, has no shot of ``frames``, or no HR, or there is none;
            if ``crop`` of a `Pair` is no multiple of its factor.
    """

    def __init__(self, clips: Clips, frames: int, crop: int, count: int, seed: int, epoch: int) -> None:
        sources = _sources(clips, frames, crop).values()
        self._shots = [(source, shot) for source in sources for shot in source.shots]
        self._ends = list(accumulate(len(shot) - frames + 1 for _, shot in self._shots))
        self._frames, self._crop, self._count = frames, crop, count
        self._seed, self._epoch = seed, epoch

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> dict[str, Any]:
        rng = np.random.default_rng([self._seed, self._epoch, number])
        first_frame = int(rng.integers(self._ends[-1]))
        index = bisect_right(self._ends, first_frame)
        (source, shot), end = self._shots[index], self._ends[index]
        start = shot.stop - self._frames + 1 + first_frame - end
        grid = source.grid
        top, left = (grid * int(rng.integers((side - self._crop) // grid + 1)) for side in source.hr.size)
        parts = source.crop(start, self._frames, top, left, self._crop)
        if rng.random() < 0.5:
            parts = {part: frames.flip(-1) for part, frames in parts.items()}
        return {**parts, "epoch": self._epoch, "number": number}


class CentreCrops(Dataset[dict[str, Any]]):
    """The middle of every clip's first frames: ``{"hr": uint8 1 f c crop crop, "name": str}``, a `Pair`'s LR.

    They are the first frames of the first shot that is long enough.

    Raises:
        UserError: as `RandomCrops` does.
    """

    def __init__(self, clips: Clips, frames: int, crop: int) -> None:
        self._sources = list(_sources(clips, frames, crop).items())
        self._frames, self._crop = frames, crop

    def __len__(self) -> int:
        return len(self._sources)

    def __getitem__(self, index: int) -> dict[str, Any]:
        name, source = self._sources[index]
        grid = source.grid
        top, left = (grid * ((side - self._crop) // (2 * grid)) for side in source.hr.size)
        parts = source.crop(source.shots[0].start, self._frames, top, left, self._crop)
        return {**{part: frames[None] for part, frames in parts.items()}, "name": name}


@dataclass(frozen=True, eq=False)
class _Source:
    """A clip to crop, with its LR where that comes along, and the shots that are long enough."""

    hr: Clip
    lr: Clip | None
    shots: list[range]

    @property
    def grid(self) -> int:
        """HR pixels between the places where a crop may begin: those of LR, where that comes along."""
        return 1 if self.lr is None else FACTOR

    def crop(self, start: int, frames: int, top: int, left: int, side: int) -> dict[str, Tensor]:
        parts = {"hr": self.hr.read(start, frames, slice(top, top + side), slice(left, left + side))}
        if self.lr is not None:
            top, left, side = (number // FACTOR for number in (top, left, side))
            parts["lr"] = self.lr.read(start, frames, slice(top, top + side), slice(left, left + side))
        return parts


def _sources(clips: Clips, frames: int, crop: int) -> dict[str, _Source]:
    if not clips:
        raise UserError("no clips; name at least one")
    return {name: _source(name, clip, frames, crop) for name, clip in clips.items()}


def _source(name: str, clip: Clip | Pair, frames: int, crop: int) -> _Source:
    hr, lr = (clip.hr, clip.lr) if isinstance(clip, Pair) else (clip, None)
    if hr is None:
        raise UserError(f"clip {name} has no HR: it can be upscaled, but nothing can be compared with it")
    if lr is not None and crop % FACTOR:
        raise UserError(f"crop must be a multiple of {FACTOR}, as clip {name} brings its LR; got {crop}")
    height, width = hr.size
    told = f"clip {name} is {width}x{height}, {len(hr)} frames"
    wanted = f"too small for crops of {crop}x{crop}, {frames} frames; ask for smaller crops"
    if len(hr) < frames or min(hr.size) < crop:
        raise UserError(f"{told}: {wanted} or leave it out")
    shots = [shot for shot in hr.shots if len(shot) >= frames]
    if not shots:
        longest = max(map(len, hr.shots))
        raise UserError(f"{told}, its longest shot {longest}: {wanted}, find fewer cuts or leave it out")
    return _Source(hr, lr, shots)

"""Datasets of random and centre crops of clips.

Axes: f frames, c colours, h w pixels.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
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
    """``count`` random crops, ``{"hr": uint8 f c crop crop}`` (spec A26); a `Pair` adds ``"lr"``.

    A sample depends on (seed, epoch, number) alone, includes its epoch and number, and lies within one shot.

    The first frame is drawn uniformly over all clips, so a clip's weight is its length, as in training sets
    where every frame is an entry. With a weight by pixels, one large clip would outweigh all small ones.

    Raises:
        UserError: if there are no clips; if a clip is smaller than ``crop``, or has no HR or no shot of
            ``frames``; if ``crop`` of a `Pair` is not a multiple of its factor.
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


class Draws(Dataset[dict[str, Any]]):
    """Several samples of each crop, for as many degradations: ``draws`` in a row.

    Draw k of crop n is degraded, and gets pixel noise, as sample n of the epoch that is k later.
    """

    def __init__(self, crops: RandomCrops, draws: int) -> None:
        self._crops, self._draws = crops, draws
        self._crop = lru_cache(1)(crops.__getitem__)

    def __len__(self) -> int:
        return len(self._crops) * self._draws

    def __getitem__(self, index: int) -> dict[str, Any]:
        number, draw = divmod(index, self._draws)
        crop = self._crop(number)
        return {**crop, "epoch": crop["epoch"] + draw}


class CentreCrops(Dataset[dict[str, Any]]):
    """A centre crop of each clip, ``{"hr": uint8 1 f c crop crop, "name": str}``; a `Pair` adds ``"lr"``.

    The frames are the first of the first shot that is long enough.

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


def larger_than_tile(frames: int, latents: int, pixels: int, tiles: float) -> tuple[int, int]:
    """Return frames and side in HR pixels of a crop of ``tiles`` tiles along each axis, time included.

    Args:
        frames: of a tile.
        latents: side of a tile.
        pixels: side of a latent in HR pixels.
        tiles: length of the crop in tiles, such as 1.5.
    """
    return round(tiles * frames), round(tiles * latents * pixels)


def fitted(clip: Clip | Pair, frames: int, side: int) -> tuple[int, int]:
    """Return the frames and side of a crop, at most as given, that a clip has room for."""
    hr = clip.hr if isinstance(clip, Pair) else clip
    if hr is None:  # CentreCrops refuses it
        return frames, side
    return min(frames, max(map(len, hr.shots))), min(side, *hr.size) // FACTOR * FACTOR


@dataclass(frozen=True, eq=False)
class _Source:
    """A clip to crop, its LR if the data includes it, and the shots that are long enough."""

    hr: Clip
    lr: Clip | None
    shots: list[range]

    @property
    def grid(self) -> int:
        """Step of crop positions in HR pixels; one LR pixel if the data includes LR."""
        return 1 if self.lr is None else FACTOR

    def crop(self, start: int, frames: int, top: int, left: int, side: int) -> dict[str, Tensor]:
        parts = {"hr": self.hr.read(start, frames, slice(top, top + side), slice(left, left + side))}
        if self.lr is not None:
            top, left, side = (number // FACTOR for number in (top, left, side))
            parts["lr"] = self.lr.read(start, frames, slice(top, top + side), slice(left, left + side))
        return parts


def _sources(clips: Clips, frames: int, crop: int) -> dict[str, _Source]:
    if not clips:
        raise UserError("no clips to crop; name at least one")
    return {name: _source(name, clip, frames, crop) for name, clip in clips.items()}


def _source(name: str, clip: Clip | Pair, frames: int, crop: int) -> _Source:
    hr, lr = (clip.hr, clip.lr) if isinstance(clip, Pair) else (clip, None)
    if hr is None:
        raise UserError(f"clip {name} has no HR and can only be upscaled; leave it out")
    if lr is not None and crop % FACTOR:
        raise UserError(
            f"crop must be a multiple of {FACTOR}, because clip {name} has its own LR; got {crop}"
        )
    height, width = hr.size
    found = f"clip {name} is {width}x{height}, {len(hr)} frames"
    needed = f"too small for crops of {crop}x{crop}, {frames} frames; choose smaller crops"
    if len(hr) < frames or min(hr.size) < crop:
        raise UserError(f"{found}: {needed} or leave it out")
    shots = [shot for shot in hr.shots if len(shot) >= frames]
    if not shots:
        longest = max(map(len, hr.shots))
        raise UserError(
            f"{found}, its longest shot {longest}: {needed}, a higher data.shots.threshold, or leave it out"
        )
    return _Source(hr, lr, shots)

"""Results of another program, read from files in place of an upscaler."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Protocol, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from dcvsr.attention.observer import NOBODY, Observer
from dcvsr.diffusion.protocols import Advance, Upscaler, ignored
from dcvsr.imaging import to_unit
from dcvsr.runtime.errors import UserError

log = logging.getLogger(__name__)

BLOCK = 16
"""Side in LR pixels of the blocks whose mean colours are compared."""
MAX_DIFFERENCE = 32 / 255
"""Largest difference of a block's mean colour from LR's, as a mean over the channels.

Over 17 clips of realbasicvsr degradation, HR's blocks differ from LR's by at most 21 levels of 255, and those
of Real-ESRGAN's results by at most 24.
"""
MAX_SHARE = 0.05
"""Largest share of a frame's blocks that may differ by more. Other clips' frames differ in 0.41 or more."""


class Frames(Protocol):
    """The part of `dcvsr.data.clips.Clip` that is used here."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        ...

    @property
    def rate(self) -> Fraction | None:
        """Frames per second; None if unknown."""
        ...

    def __len__(self) -> int: ...

    def read(self, start: int, count: int) -> Tensor:
        """Read frames, uint8 ``count c h w``."""
        ...


@dataclass(frozen=True)
class Precomputed(Upscaler):
    """Reader of results: a folder of frames, or a video, per clip.

    Args:
        path: folder of the results.
        read: ``(path, include=[name])`` -> clips by name, such as `dcvsr.data.folders.folder_of_clips`.
        factor: HR pixels per LR pixel along a side.
        clip: name of the clip; `for_clip` sets it.
    """

    path: str
    read: Callable[..., Mapping[str, Frames]]
    factor: int
    clip: str | None = None

    seed = None
    origin = None  # the weights behind the results are unknown

    def to(self, device: torch.device) -> None:
        """Do nothing; results are read from files."""

    def memory(self, frames: int, height: int, width: int) -> int:
        """Return the bytes of the result as uint8 and as float32."""
        return (1 + 4) * 3 * frames * height * width * self.factor**2

    def work(self, frames: int, height: int, width: int) -> int:
        """Return the number of frames."""
        return frames

    def for_clip(self, name: str, frames: int, height: int, width: int, rate: Fraction | None) -> Self:
        """Return the reader of one clip, whose length, size and rate are checked."""
        self._result(name, frames, height, width, rate)
        return replace(self, clip=name)

    def __call__(self, lr: Tensor, advance: Advance = ignored, observer: Observer = NOBODY) -> Tensor:
        """Read the result for LR ``f c h w``: ``f c (factor h) (factor w)``, on LR's device.

        Logs a warning if the result is a video file, or if some of its frames do not show their LR frames.

        Raises:
            UserError: if `for_clip` named no clip, or the result is missing or has another length or size.
        """
        if self.clip is None:
            raise UserError(f"results under {self.path} are found by clip name; run python -m dcvsr.evaluate")
        frames, _, height, width = lr.shape
        result = self._result(self.clip, frames, height, width, None)
        for _ in lr:
            advance(1)
        restored = to_unit(result.read(0, len(result))).to(lr.device)
        self._warn(result, restored, lr)
        return restored

    def _warn(self, result: Frames, restored: Tensor, lr: Tensor) -> None:
        """Log a warning for a video file, and for frames that do not show their LR frames."""
        if result.rate is not None:
            log.warning(
                f"{self.path}: {self.clip} is a video, whose compression and colour conversion count in its "
                "scores; unpack it to PNG where the program made it"
            )
        if unlike := unlike_frames(restored, lr, self.factor):
            log.warning(
                f"{self.path}: {self.clip} differs in colour from its LR over more than {MAX_SHARE:.0%} of "
                f"{len(unlike)} of {len(lr)} frames, first frame {unlike[0]}; it may be of another clip, or "
                "have a wrong tile or swapped channels"
            )

    def _result(self, name: str, frames: int, height: int, width: int, rate: Fraction | None) -> Frames:
        """Return the result for an LR clip.

        Raises:
            UserError: if it is missing, or has another length or size, or another rate where both are known.
        """
        result = self.read(self.path, include=[name])[name]
        expected, found = (frames, height * self.factor, width * self.factor), (len(result), *result.size)
        if found != expected:
            sizes = [f"{n} frames of {columns}x{rows}" for n, rows, columns in (found, expected)]
            raise UserError(
                f"{self.path}: {name} has {sizes[0]}, but its LR needs {sizes[1]}; restore it again"
            )
        other = result.rate
        if None not in (rate, other) and rate != other:
            raise UserError(
                f"{self.path}: {name} has {other} frames per second, its LR {rate}; frames may have been "
                "dropped or repeated: make it again at that rate"
            )
        return result


def unlike_frames(restored: Tensor, lr: Tensor, factor: int) -> list[int]:
    """Return the indices of the frames that do not show their LR frame.

    Args:
        restored: ``f c (factor h) (factor w)`` in [0, 1].
        lr: ``f c h w`` in [0, 1].
        factor: HR pixels per LR pixel along a side.
    """
    height, width = (max(1, side // BLOCK) for side in lr.shape[-2:])
    parts = (lr, F.avg_pool2d(restored, factor))
    ours, theirs = (F.adaptive_avg_pool2d(part, (height, width)) for part in parts)
    differs = (theirs - ours).abs().mean(dim=1) > MAX_DIFFERENCE
    return (differs.float().mean(dim=(1, 2)) > MAX_SHARE).nonzero().flatten().tolist()

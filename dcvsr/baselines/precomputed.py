"""Results of another program, read from files in place of an upscaler."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Protocol, Self

import torch
from torch import Tensor

from dcvsr.attention.observer import NOBODY, Observer
from dcvsr.diffusion.protocols import Upscaler
from dcvsr.imaging import to_unit
from dcvsr.runtime.errors import UserError


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

    def __call__(
        self, lr: Tensor, on_tile: Callable[[], object] = lambda: None, observer: Observer = NOBODY
    ) -> Tensor:
        """Read the result for LR ``f c h w``: ``f c (factor h) (factor w)``, on LR's device.

        Raises:
            UserError: if `for_clip` named no clip, or the result is missing or has another length or size.
        """
        if self.clip is None:
            raise UserError(f"results under {self.path} are found by clip name; run python -m dcvsr.evaluate")
        frames, _, height, width = lr.shape
        result = self._result(self.clip, frames, height, width, None)
        for _ in lr:
            on_tile()
        return to_unit(result.read(0, len(result))).to(lr.device)

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

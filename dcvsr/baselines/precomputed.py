"""Results of another program, read from files in place of an upscaler."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from dcvsr.attention.observer import Observer
from dcvsr.imaging import to_unit
from dcvsr.runtime.errors import UserError


class Precomputed:
    """Reader of results, a folder of frames or a video per clip, in place of an upscaler.

    Follows the protocol of ``models.upscaler.Upscaler``. The caller must set ``clip`` to the name of the clip
    before each call.

    Args:
        path: folder of the results.
        read: ``(path, include=[name])`` -> clips by name, such as `dcvsr.data.folders.folder_of_clips`.
        factor: ratio of the results' size to LR's.
    """

    origin = None  # the weights behind the results are unknown
    clip: str | None = None

    def __init__(self, path: str, read: Callable[..., Mapping[str, Any]], factor: int) -> None:
        self.path, self.read, self.factor = path, read, factor

    def to(self, device: torch.device) -> None:
        """Do nothing; results are read from files."""

    def memory(self, frames: int, height: int, width: int) -> int:
        """Return the bytes of the results in eight bits and in float32."""
        return (1 + 4) * 3 * frames * height * width * self.factor**2

    def work(self, frames: int, height: int, width: int) -> int:
        """Return the number of frames."""
        return frames

    def __call__(
        self, lr: Tensor, on_tile: Callable[[], object] = lambda: None, observer: Observer | None = None
    ) -> Tensor:
        """Read the result for LR ``f c h w``: ``f c (factor h) (factor w)``, on LR's device.

        Raises:
            UserError: if ``clip`` is not set, or its result is missing or has another length or size.
        """
        if self.clip is None:
            raise UserError(f"results under {self.path} are found by clip name; run python -m dcvsr.evaluate")
        frames, _, height, width = lr.shape
        result = self.require(self.clip, frames, height, width)
        for _ in lr:
            on_tile()
        return to_unit(result.read(0, len(result))).to(lr.device)

    def require(self, name: str, frames: int, height: int, width: int, rate: Fraction | None = None) -> Any:
        """Return the result for the LR clip of this name, length and size.

        Raises:
            UserError: if the result is missing, or has another length, size or, if both are known, rate.
        """
        result = self.read(self.path, include=[name])[name]
        expected, found = (frames, height * self.factor, width * self.factor), (len(result), *result.size)
        if found != expected:
            sizes = [f"{n} frames of {columns}x{rows}" for n, rows, columns in (found, expected)]
            raise UserError(
                f"{self.path}: {name} has {sizes[0]}, but its LR needs {sizes[1]}; restore it again"
            )
        other = getattr(result, "rate", None)
        if None not in (rate, other) and rate != other:
            raise UserError(
                f"{self.path}: {name} has {other} frames per second, its LR {rate}; frames may have been "
                "dropped or repeated, so restore it again at that rate"
            )
        return result

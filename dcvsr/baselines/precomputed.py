"""Results that another program made, in the place of an upscaler."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from dcvsr.attention.observer import Observer
from dcvsr.imaging import to_unit
from dcvsr.runtime.errors import UserError


class Precomputed:
    """A folder with a folder of frames, or a video, for each clip; ``models.upscaler.Upscaler``'s protocol.

    Its one state is ``clip``, the name of the clip whose LR comes next: who calls it writes it before.

    Args:
        path: the folder.
        read: ``(path, include=[name])`` -> clips by name, as `dcvsr.data.folders.folder_of_clips`.
        factor: by which results are larger than LR.
    """

    origin = None  # whatever weights there were are not known
    clip: str | None = None

    def __init__(self, path: str, read: Callable[..., Mapping[str, Any]], factor: int) -> None:
        self.path, self.read, self.factor = path, read, factor

    def to(self, device: torch.device) -> None:
        """Nothing to move."""

    def memory(self, frames: int, height: int, width: int) -> int:
        """Bytes of the results, as eight bits and as float32."""
        return (1 + 4) * 3 * frames * height * width * self.factor**2

    def work(self, frames: int, height: int, width: int) -> int:
        """One piece of work a frame."""
        return frames

    def __call__(
        self, lr: Tensor, on_tile: Callable[[], object] = lambda: None, observer: Observer | None = None
    ) -> Tensor:
        """The result kept for LR ``f c h w``: ``f c (factor h) (factor w)``, on LR's device.

        Raises:
            UserError: if the clip has no name, no result, or one of another length or size.
        """
        if self.clip is None:
            raise UserError(f"results under {self.path} go by the names of clips: python -m dcvsr.evaluate")
        frames, _, height, width = lr.shape
        result = self.require(self.clip, frames, height, width)
        for _ in lr:
            on_tile()
        return to_unit(result.read(0, len(result))).to(lr.device)

    def require(self, name: str, frames: int, height: int, width: int, rate: Fraction | None = None) -> Any:
        """The result of LR with this name, length and size.

        Raises:
            UserError: if there is none, or one of another length or size; or, where both have a ``rate``, of
                another.
        """
        result = self.read(self.path, include=[name])[name]
        expected, found = (frames, height * self.factor, width * self.factor), (len(result), *result.size)
        if found != expected:
            sizes = [f"{n} frames of {columns}x{rows}" for n, rows, columns in (found, expected)]
            raise UserError(f"{self.path}: {name} has {sizes[0]}, not the {sizes[1]} that its LR asks for")
        other = getattr(result, "rate", None)
        if None not in (rate, other) and rate != other:
            raise UserError(
                f"{self.path}: {name} has {other} frames per second, its LR {rate}; frames may have been "
                "dropped or repeated: make it again at that rate"
            )
        return result

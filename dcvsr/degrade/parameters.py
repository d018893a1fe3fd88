"""Where a clip's parameters come from: drawn here, or by somebody else before.

Axes: shapes are ``f c h w`` of HR.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dcvsr.degradation.pipeline import Degradation
from dcvsr.degradation.seeds import generator
from dcvsr.degradation.walk import Params
from dcvsr.degrade.hr_clips import Shape
from dcvsr.degrade.manifest import Entry
from dcvsr.runtime.errors import UserError


class Parameters(Protocol):
    """By a clip's name and shape."""

    def __call__(self, name: str, shape: Shape) -> Params: ...


@dataclass(frozen=True)
class DrawnParameters:
    """By seed and name, whatever other clips there are and in whatever order they come."""

    degradation: Degradation
    seed: int

    def __call__(self, name: str, shape: Shape) -> Params:
        return self.degradation.draw(generator(self.seed, name), shape)


@dataclass(frozen=True)
class Replayed:
    """Those of a manifest's clips.

    Args:
        clips: by name.
        path: of the manifest, for messages.
    """

    clips: Mapping[str, Entry]
    path: Path

    def __call__(self, name: str, shape: Shape) -> Params:
        """Raises UserError if the clip is of other frames or size."""
        entry = self.clips[name]
        frames, _, height, width = shape
        there, here = _told(entry.frames, *entry.size), _told(frames, width, height)
        if there != here:
            raise UserError(
                f"{self.path} has clip {name} of {there}, and here it is of {here}; give the same HR"
            )
        return entry.parameters


def _told(frames: int, width: int, height: int) -> str:
    return f"{frames} frames of {width}x{height}"

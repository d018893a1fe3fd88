"""Sources of a clip's degradation parameters: drawn by seed, or replayed from a manifest.

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
    """Protocol of parameter sources."""

    def __call__(self, name: str, shape: Shape) -> Params:
        """Return the parameters of a clip."""
        ...


@dataclass(frozen=True)
class DrawnParameters:
    """Parameters drawn by seed and clip name, independent of the other clips and their order."""

    degradation: Degradation
    seed: int

    def __call__(self, name: str, shape: Shape) -> Params:
        """Draw the parameters of a clip."""
        return self.degradation.draw(generator(self.seed, name), shape)


@dataclass(frozen=True)
class Replayed:
    """Parameters of a manifest.

    Args:
        clips: entries by clip name.
        path: path of the manifest, for messages.
    """

    clips: Mapping[str, Entry]
    path: Path

    def __call__(self, name: str, shape: Shape) -> Params:
        """Return the parameters of a clip; raise UserError if its length or size is another."""
        entry = self.clips[name]
        frames, _, height, width = shape
        there, here = _formatted(entry.frames, *entry.size), _formatted(frames, width, height)
        if there != here:
            raise UserError(f"{self.path} has clip {name} with {there}, but HR has {here}; give the same HR")
        return entry.parameters


def _formatted(frames: int, width: int, height: int) -> str:
    return f"{frames} frames of {width}x{height}"

"""Workspace of a job on one video: stores of frames, and the position that was reached."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from torch import Tensor

from dcvsr.runtime.frame_stores import FramesInMemory, FrameStore


class Position(NamedTuple):
    """Progress of a job.

    Attributes:
        stage: ``encode``, ``sample`` or ``decode``.
        evaluation: evaluations of the canvas that are finished, in ``sample``.
        done: frames encoded; windows of the evaluation in progress; or frames decoded.
    """

    stage: Literal["encode", "sample", "decode"] = "encode"
    evaluation: int = 0
    done: int = 0


class Workspace(Protocol):
    """Frame stores of a job, and its position."""

    def store(self, name: str, shape: Sequence[int], count: int) -> FrameStore:
        """Return the store ``name`` for ``count`` frames of ``shape``, float32."""
        ...

    def load(self) -> tuple[Position, dict[str, Tensor]]:
        """Return what was saved last; the beginning if nothing was."""
        ...

    def save(self, position: Position, carried: Mapping[str, Tensor]) -> None:
        """Keep the position, and what the next window receives."""
        ...


class Memory(Workspace):
    """Workspace in memory, for one job that is not resumed."""

    def store(self, name: str, shape: Sequence[int], count: int) -> FrameStore:
        """Return a new store."""
        return FramesInMemory()

    def load(self) -> tuple[Position, dict[str, Tensor]]:
        """Return the beginning."""
        return Position(), {}

    def save(self, position: Position, carried: Mapping[str, Tensor]) -> None:
        """Do nothing."""

"""Position of an attention within a run, and the interface of its observers."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Place:
    """Position of one U-Net evaluation: some tiles of one window.

    Attributes:
        step, sigma: sampler step and its noise level.
        scheme: ``none``, ``sap``, ``tap`` or ``joint``.
        direction: ``forward`` or ``backward`` in a TAP step.
        window, tiles: indices n and m.
        count: M, the tiles of the window.
        branch: 0 for the conditional estimate, then the others in the order of the guidance.
        size: rows and columns of a tile in latent pixels.
    """

    step: int
    sigma: float
    scheme: str
    direction: str
    window: int
    tiles: tuple[int, ...]
    count: int
    branch: int
    size: tuple[int, int]


class Observer:
    """Base class of observers: subclasses override the events that they need.

    Axes: m tiles, f frames, h heads, p positions, n keys (the tile's own p first), d channels per head.
    """

    def evaluated(self, place: Place, x: Tensor) -> None:
        """Receive the U-Net's input ``x``, m f k h w."""

    def attended(self, place: Place, layer: str, q: Tensor, k: Tensor) -> None:
        """Receive queries ``m f h p d`` and merged keys ``m f h n d`` of a propagated layer."""

    def exchanged(self, place: Place, layer: str, k: Tensor, v: Tensor) -> None:
        """Receive the keys and values that tiles give to others."""

    def chosen(self, place: Place, layer: str, frames: Tensor) -> None:
        """Receive the frames of the window that TAP selects, ``m l``."""

    def reached(self, stage: str, done: int, total: int) -> None:
        """Receive the progress of a stage outside the U-Net, such as ``encoding frame``."""

    def resumed(self, done: float) -> None:
        """Receive the U-Net evaluations that were finished before this process began."""


NOBODY = Observer()


class Observers(Observer):
    """Observer that forwards every event to several observers."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self.observers = observers

    def evaluated(self, place: Place, x: Tensor) -> None:
        """Forward the input of an evaluation."""
        for observer in self.observers:
            observer.evaluated(place, x)

    def attended(self, place: Place, layer: str, q: Tensor, k: Tensor) -> None:
        """Forward queries and keys."""
        for observer in self.observers:
            observer.attended(place, layer, q, k)

    def exchanged(self, place: Place, layer: str, k: Tensor, v: Tensor) -> None:
        """Forward exchanged keys and values."""
        for observer in self.observers:
            observer.exchanged(place, layer, k, v)

    def chosen(self, place: Place, layer: str, frames: Tensor) -> None:
        """Forward the selected frames."""
        for observer in self.observers:
            observer.chosen(place, layer, frames)

    def reached(self, stage: str, done: int, total: int) -> None:
        """Forward the progress of a stage."""
        for observer in self.observers:
            observer.reached(stage, done, total)

    def resumed(self, done: float) -> None:
        """Forward the evaluations finished before."""
        for observer in self.observers:
            observer.resumed(done)

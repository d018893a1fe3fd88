"""Where in a run an attention happens, and who may watch it."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Place:
    """One evaluation of the U-Net, on some tiles of one window.

    Attributes:
        step, sigma: of the sampler.
        scheme: ``none``, ``sap`` or ``tap``.
        direction: of a TAP step, ``forward`` or ``backward``.
        window, tiles: indices n and m.
        count: M, the tiles of the window.
        branch: 0 is the conditional estimate, then the others as the guidance asks for them.
        size: rows and columns of a tile, in latents.
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
    """Watches a run and does nothing; whoever wants to know something overrides its event.

    Axes: m tiles, f frames, h heads, p positions, n keys (the tile's own p first), d channels per head.
    """

    def evaluated(self, place: Place, x: Tensor) -> None:
        """The U-Net is evaluated on ``x``, m f k h w."""

    def attended(self, place: Place, layer: str, q: Tensor, k: Tensor) -> None:
        """A propagated layer attends: q ``m f h p d``, merged k ``m f h n d``."""

    def exchanged(self, place: Place, layer: str, k: Tensor, v: Tensor) -> None:
        """Tiles give these keys and values away."""

    def chosen(self, place: Place, layer: str, frames: Tensor) -> None:
        """TAP takes these frames of the window, ``m l``."""


NOBODY = Observer()


class Observers(Observer):
    """Several that watch together."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self.observers = observers

    def evaluated(self, place: Place, x: Tensor) -> None:
        for observer in self.observers:
            observer.evaluated(place, x)

    def attended(self, place: Place, layer: str, q: Tensor, k: Tensor) -> None:
        for observer in self.observers:
            observer.attended(place, layer, q, k)

    def exchanged(self, place: Place, layer: str, k: Tensor, v: Tensor) -> None:
        for observer in self.observers:
            observer.exchanged(place, layer, k, v)

    def chosen(self, place: Place, layer: str, frames: Tensor) -> None:
        for observer in self.observers:
            observer.chosen(place, layer, frames)

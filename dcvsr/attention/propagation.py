"""SAP and TAP: attention propagation between tiles in the first two and last two spatial self-attentions.

A ``Propagation`` chooses a ``Round`` for each sampler step. A ``Round`` is one evaluation of the denoiser
over the whole canvas: the order of its windows, and the evaluation of one tile or a group of equal tiles.

Axes: m tiles of a group, f frames, h heads, p = y x positions, l selected frames, d channels per head.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from einops import rearrange
from torch import Tensor

from dcvsr.attention.bank import Bank, Handed
from dcvsr.attention.exchange import EXCHANGES, SOURCES, Evaluate, Exchange, Keys, Source, alone, merged
from dcvsr.attention.layer_names import resolution
from dcvsr.attention.observer import Observer, Place
from dcvsr.attention.selection import (
    CHOICES,
    DIRECTIONS,
    SELECTIONS,
    Choice,
    Direction,
    Order,
    Selection,
    deviation,
    taken,
)
from dcvsr.runtime.choices import require_choice

Size = tuple[int, int]
"""Rows and columns."""


class Round(Protocol):
    """One evaluation of the denoiser over the whole canvas."""

    @property
    def scheme(self) -> str:
        """Name of the exchange: ``sap``, ``tap``, ``joint`` or ``none``."""
        ...

    def orders(self, windows: int) -> Sequence[Order]:
        """Return the orders in which to visit the windows; results of several orders are averaged."""
        ...

    def merged_positions(self, branch: int, tile: Size, tiles: Sequence[Size], earlier: Sequence[int]) -> int:
        """Return the number of positions of others that a position of a tile also attends to.

        Args:
            branch: guidance branch.
            tile: rows and columns of the tile in the layer.
            tiles: those of all tiles of the window.
            earlier: frames of the windows before it in its order.
        """
        ...

    def carried(self) -> dict[str, Tensor]:
        """Return what the next window receives from the windows before it, by name."""
        ...

    def restore(self, carried: Mapping[str, Tensor]) -> None:
        """Take what ``carried`` returned; nothing before the first window of an order."""
        ...

    def evaluations(self, branch: int, tiles: int) -> int:
        """Return the evaluations of one tile in a guidance branch, in a window of ``tiles`` tiles."""
        ...

    def __call__(self, evaluate: Evaluate, place: Place, observer: Observer) -> Tensor:
        """Return the estimate of the tiles at ``place``."""
        ...


class Propagation(Protocol):
    """Choice of the exchange in each sampler step."""

    def round(self, step: int, steps: int) -> Round:
        """Return the round of ``step``, from 0, of ``steps``."""
        ...


@dataclass(frozen=True)
class NoPropagation:
    """Independent tiles."""

    scheme = "none"

    def round(self, step: int, steps: int) -> Round:
        """Return this object for every step."""
        return self

    def orders(self, windows: int) -> Sequence[Order]:
        """Return the windows in order."""
        return [range(windows)]

    def merged_positions(self, branch: int, tile: Size, tiles: Sequence[Size], earlier: Sequence[int]) -> int:
        """Return 0."""
        return 0

    def carried(self) -> dict[str, Tensor]:
        """Return nothing."""
        return {}

    def restore(self, carried: Mapping[str, Tensor]) -> None:
        """Do nothing."""

    def evaluations(self, branch: int, tiles: int) -> int:
        """Return 1."""
        return 1

    def __call__(self, evaluate: Evaluate, place: Place, observer: Observer) -> Tensor:
        """Evaluate the tiles without propagation."""
        return evaluate(alone)


@dataclass(frozen=True)
class SpatialPropagation:
    """SAP, section 3.1: every tile also attends to a spatially uniform subset of all tiles of its window.

    A frame attends to the same frame of the other tiles, and to its own tile's subset a second time, as the
    paper's "all m" says (spec A3). A single tile exchanges nothing.

    Attributes:
        rate: s_SAP, 1/stride**2 of the positions. The paper leaves it open; the default is every second row
            and column, as in Fig. 2 (spec A1). None takes as many positions in total as one tile has.
        exchange: ``lockstep`` or ``two_pass``.

    Raises:
        ValueError: if ``rate`` is not 1/k**2, or ``exchange`` is not a choice.
    """

    rate: float | None
    exchange: Exchange

    scheme = "sap"

    def __post_init__(self) -> None:
        require_choice("exchange", self.exchange, EXCHANGES)
        if self.rate is not None and not (self.rate > 0 and abs(self.stride(1) ** 2 * self.rate - 1) < 1e-3):
            raise ValueError(f"rate must be 1/k**2, got {self.rate}; use 1, 0.25, 0.1111 or 0.0625")

    def stride(self, tiles: int) -> int:
        """Return the subsampling stride of rows and columns for a window of ``tiles`` tiles."""
        return math.ceil(math.sqrt(tiles)) if self.rate is None else max(1, round(self.rate**-0.5))

    def round(self, step: int, steps: int) -> Round:
        """Return this object for every step."""
        return self

    def orders(self, windows: int) -> Sequence[Order]:
        """Return the windows in order."""
        return [range(windows)]

    def merged_positions(self, branch: int, tile: Size, tiles: Sequence[Size], earlier: Sequence[int]) -> int:
        """Return the subsampled positions of all tiles of the window."""
        stride = self.stride(len(tiles))
        subset = sum(-(-rows // stride) * -(-columns // stride) for rows, columns in tiles)
        return subset if len(tiles) > 1 else 0

    def carried(self) -> dict[str, Tensor]:
        """Return nothing."""
        return {}

    def restore(self, carried: Mapping[str, Tensor]) -> None:
        """Do nothing."""

    def evaluations(self, branch: int, tiles: int) -> int:
        """Return 2 for ``two_pass`` with several tiles, else 1."""
        return 2 if self.exchange == "two_pass" and tiles > 1 else 1

    def __call__(self, evaluate: Evaluate, place: Place, observer: Observer) -> Tensor:
        """Evaluate the tiles with SAP."""
        if place.count == 1:
            return evaluate(alone)

        def give(layer: str, k: Tensor, v: Tensor) -> Keys:
            rows, columns = resolution(k.shape[-2], *place.size)
            k, v = (subsampled(x, rows, columns, self.stride(place.count)) for x in (k, v))
            observer.exchanged(place, layer, k, v)
            return k, v

        return EXCHANGES[self.exchange](evaluate, give)


def subsampled(x: Tensor, rows: int, columns: int, stride: int) -> Tensor:
    """Take every ``stride``-th row and column of keys or values: ``m f h (y x) d -> 1 f h (m y x) d``."""
    grid = rearrange(x, "m f h (y x) d -> m f h y x d", y=rows, x=columns)
    return rearrange(grid[..., ::stride, ::stride, :], "m f h y x d -> 1 f h (m y x) d")


@dataclass(frozen=True)
class TemporalPropagation:
    """TAP, section 3.2: every tile also attends to L frames of the same tile in the previous window.

    Attributes:
        frames: L.
        anchors: number of frames kept from all earlier windows, those with the largest standard deviation of
            their keys, in addition to the previous window's L; 0 in the paper.
        selection, choice: criterion of the selected frames; per layer or once for all layers.
        direction: order of the windows.
        source: ``chained`` or ``clean``.
        seed: seed of random choices.

    Raises:
        ValueError: if ``frames`` or ``anchors`` is too small, or a name is not a choice.
    """

    frames: int
    anchors: int
    selection: Selection
    choice: Choice
    direction: Direction
    source: Source
    seed: int

    def __post_init__(self) -> None:
        require_choice("selection", self.selection, SELECTIONS)
        require_choice("choice", self.choice, CHOICES)
        require_choice("direction", self.direction, DIRECTIONS)
        require_choice("source", self.source, SOURCES)
        if self.frames < 1 or self.anchors < 0:
            raise ValueError(f"TAP needs frames >= 1 and anchors >= 0, got {self.frames}, {self.anchors}")

    def round(self, step: int, steps: int) -> "TemporalRound":
        """Return the ``step``-th TAP step; its number decides the direction."""
        return TemporalRound(self, step)


@dataclass
class TemporalRound:
    """One TAP step.

    K' and V' are a tile's own keys and values, before merging (spec A6). The first window of an order
    receives nothing. ``handed`` maps (branch, tiles) to layer to the previous window's output; only this
    class writes it.
    """

    tap: TemporalPropagation
    number: int
    handed: dict[tuple[int, tuple[int, ...]], dict[str, Handed]] = field(default_factory=dict)

    scheme = "tap"

    def orders(self, windows: int) -> Sequence[Order]:
        """Return the orders of this step's direction."""
        return DIRECTIONS[self.tap.direction](self.number, windows, self.tap.seed)

    def merged_positions(self, branch: int, tile: Size, tiles: Sequence[Size], earlier: Sequence[int]) -> int:
        """Return the positions of the frames that the window before selected, and of the anchors."""
        given = [min(self.tap.frames, frames) for frames in earlier]
        frames = sum(given[-1:]) + min(self.tap.anchors, sum(given[:-1]))
        return frames * tile[0] * tile[1]

    def carried(self) -> dict[str, Tensor]:
        """Return keys, values and deviations of all handed frames, named by branch, tiles and layer."""
        return {
            f"{branch}/{','.join(map(str, tiles))}/{layer}/{name}": tensor
            for (branch, tiles), layers in self.handed.items()
            for layer, handed in layers.items()
            for name, tensor in handed.tensors().items()
        }

    def restore(self, carried: Mapping[str, Tensor]) -> None:
        """Replace ``handed``."""
        self.handed.clear()
        found: dict[tuple[str, str, str], dict[str, Tensor]] = defaultdict(dict)
        for path, tensor in carried.items():
            branch, tiles, layer, name = path.split("/")
            found[branch, tiles, layer][name] = tensor
        for (branch, tiles, layer), tensors in found.items():
            chain = int(branch), tuple(map(int, tiles.split(",")))
            self.handed.setdefault(chain, {})[layer] = Handed.of(tensors)

    def evaluations(self, branch: int, tiles: int) -> int:
        """Return 2 for ``clean`` keys, else 1."""
        return 2 if self.tap.source == "clean" else 1

    def __call__(self, evaluate: Evaluate, place: Place, observer: Observer) -> Tensor:
        """Evaluate the tiles with the frames received from the previous window."""
        chain = place.branch, place.tiles
        received, given = self.handed.get(chain, {}), {}
        chosen: dict[str, Tensor] = {}

        def give(layer: str, k: Tensor, v: Tensor) -> Keys:
            draws = [f"{self.tap.seed}/{place.step}/{place.window}/{tile}/{layer}" for tile in place.tiles]
            select = SELECTIONS[self.tap.selection]
            frames = CHOICES[self.tap.choice](chosen, lambda: select(k, self.tap.frames, draws))
            chosen[layer] = frames
            observer.chosen(place, layer, frames)
            newest = Bank((taken(k, frames), taken(v, frames)), deviation(k).gather(1, frames))
            given[layer] = Handed(newest, self._anchors(received.get(layer)))
            observer.exchanged(place, layer, *newest.keys)
            return newest.keys

        def receive(layer: str, k: Tensor, v: Tensor) -> Keys:
            return merged((k, v), *(received[layer].keys if layer in received else []))

        D = SOURCES[self.tap.source](evaluate, give, receive)
        self.handed[chain] = given
        return D

    def _anchors(self, received: Handed | None) -> Bank | None:
        """Return the received frames with the largest deviation, for windows beyond the next one."""
        if received is None or self.tap.anchors == 0:
            return None
        return received.newest.best(received.anchors, self.tap.anchors)

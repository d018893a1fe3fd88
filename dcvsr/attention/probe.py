"""Record of attention on propagated keys and of the frames that TAP selects: ``debug.attention=true``.

Axes: m tiles, f frames, h heads, p positions, n keys (the tile's own p first), d channels per head.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from torch import Tensor

from dcvsr.attention.observer import Observer, Place
from dcvsr.attention.self_attention import attention_mass


class Attention(NamedTuple):
    """Attention of one layer on propagated keys, in the conditional estimate of one tile."""

    clip: str
    step: int
    sigma: float
    scheme: str
    direction: str
    window: int
    tile: int
    layer: str
    mass: float
    """Share of attention on propagated keys, mean over queries, heads and frames."""


class Chosen(NamedTuple):
    """Frames of a tile that TAP selects, in one layer of one guidance branch."""

    clip: str
    step: int
    sigma: float
    direction: str
    window: int
    tile: int
    branch: int
    layer: str
    frames: str


@dataclass(frozen=True)
class ProbeTable:
    """Table of recorded values for a CSV file."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


class Probe(Observer):
    """Observer that records attention shares and selected frames.

    ``clip`` is the name of the current clip; the caller sets it before each clip. If a tile is evaluated
    twice (``two_pass``, ``clean``), the probe keeps the second evaluation, which has the merged keys.
    """

    def __init__(self, clip: str = "") -> None:
        self.clip = clip
        self._attention: dict[tuple[object, ...], Attention] = {}
        self._frames: dict[tuple[object, ...], Chosen] = {}

    @property
    def tables(self) -> list["ProbeTable"]:
        """Tables of attention and of selected frames."""
        return [
            ProbeTable("attention", Attention._fields, list(self._attention.values())),
            ProbeTable("frames", Chosen._fields, list(self._frames.values())),
        ]

    @property
    def mass_by_step(self) -> dict[str, list[tuple[int, float]]]:
        """Layer -> (step, mean mass), over clips, windows and tiles."""
        masses: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        for row in self._attention.values():
            masses[row.layer][row.step].append(row.mass)
        return {
            layer: [(step, fmean(some)) for step, some in steps.items()] for layer, steps in masses.items()
        }

    def attended(self, place: Place, layer: str, q: Tensor, k: Tensor) -> None:
        """Record the attention shares of the conditional branch."""
        if place.branch:
            return
        for tile, mass in zip(place.tiles, propagated_mass(q, k), strict=True):
            where = (
                self.clip,
                place.step,
                place.sigma,
                place.scheme,
                place.direction,
                place.window,
                tile,
                layer,
            )
            self._attention[where] = Attention(*where, mass)

    def chosen(self, place: Place, layer: str, frames: Tensor) -> None:
        """Record the selected frames of each tile."""
        for tile, chosen in zip(place.tiles, frames.tolist(), strict=True):
            where = (
                self.clip,
                place.step,
                place.sigma,
                place.direction,
                place.window,
                tile,
                place.branch,
                layer,
            )
            self._frames[where] = Chosen(*where, " ".join(map(str, chosen)))


def propagated_mass(q: Tensor, k: Tensor) -> list[float]:
    """Compute each tile's attention share on propagated keys, from q ``m f h p d`` and k ``m f h n d``.

    Runs one frame and head at a time: their scores are 4096 x 20480 in SVD's first layer.
    """
    if k.shape[-2] == q.shape[-2]:
        return [0.0] * len(q)
    pairs = (zip(*(x.flatten(0, 1) for x in tile), strict=True) for tile in zip(q, k, strict=True))
    return [1 - fmean(attention_mass(*pair).item() for pair in tile) for tile in pairs]

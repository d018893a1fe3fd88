"""Prediction of a run's cost: what the ledger will count, without running it."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from dcvsr.attention.exchange import Keys
from dcvsr.attention.processor import Call, calling
from dcvsr.attention.propagation import Round, Size
from dcvsr.models.cost import Ledger
from dcvsr.models.denoiser import Condition
from dcvsr.models.operations import empty, on_meta
from dcvsr.models.tiled import Visit, visits
from dcvsr.models.upscaler import TiledUpscaler


class PlannedCost:
    """Ledgers of runs that have not happened; weights are not read.

    ``_queries`` maps a tile's shape to the numbers of query values and the halvings of the propagated layers;
    only ``propagated`` writes it.
    """

    def __init__(self, upscaler: TiledUpscaler) -> None:
        self.upscaler = upscaler
        self._queries: dict[tuple[int, int, int], list[tuple[int, int]]] = {}

    def ledger(self, sizes: Sequence[tuple[int, int, int]]) -> Ledger:
        """Return the ledger of LR videos with these numbers of frames, heights and widths."""
        up, ledger = self.upscaler, Ledger(self.upscaler)
        for size in sizes:
            ledger.videos.append(size)
            for step, sigma in up.sampler.evaluations:
                branches, round = up.guidance.evaluations(sigma), up.propagation.round(step, up.sampler.steps)
                seen, earlier = set[int](), list[int]()
                for visit in visits(up.windows(*size, step), round):
                    earlier = [] if visit.is_first else earlier
                    for branch in range(branches):
                        self._count(ledger, round, visit, branch, earlier, visit.window in seen)
                    seen.add(visit.window)
                    earlier = [*earlier, len(visit.frames)]
        return ledger

    def _count(
        self, ledger: Ledger, round: Round, visit: Visit, branch: int, earlier: Sequence[int], again: bool
    ) -> None:
        """Add one branch of a visit; ``again`` if the window was visited before in this evaluation."""
        own = "plain" if round.scheme == "none" else round.scheme
        part = "guidance" if branch else own
        further = round.evaluations(branch, len(visit.tiles)) - 1
        for tile in visit.tiles:
            ledger.evaluations[part if branch or again else "plain", tile.shape] += 1
            ledger.evaluations[part, tile.shape] += further
            for queries, halvings in self.propagated(tile.shape):
                here, *all_tiles = (halved(each.shape[1:], halvings) for each in (tile, *visit.tiles))
                # Q K^T and the weights times V, of the evaluation that merges
                merged = round.merged_positions(branch, here, all_tiles, earlier)
                ledger.added[part] += 4 * queries * merged

    def propagated(self, shape: tuple[int, int, int]) -> list[tuple[int, int]]:
        """Return the number of query values and the halvings of each propagated layer for a tile."""
        if shape not in self._queries:
            layers = self._queries.setdefault(shape, [])
            frames, rows, columns = shape

            def note(layer: str, k: Tensor, v: Tensor) -> Keys:
                sizes = [halved((rows, columns), n) for n in range(8)]
                positions = [a * b for a, b in sizes]
                layers.append((k.numel(), positions.index(k.shape[-2])))
                return k, v

            x = empty(1, frames, self.upscaler.latents.autoencoder.channels, rows, columns)
            image = empty(1, 1, self.upscaler.denoiser.embedding_size)
            with torch.no_grad(), self._meta.propagated(), calling(Call(note)):
                self._meta(x, empty(1), Condition(x, image))
        return self._queries[shape]

    @cached_property
    def _meta(self) -> Any:
        return on_meta([self.upscaler.denoiser])[0]


def halved(size: Size, times: int) -> Size:
    """Return rows and columns after ``times`` halvings, rounded up."""
    rows, columns = size
    return -(-rows // 2**times), -(-columns // 2**times)

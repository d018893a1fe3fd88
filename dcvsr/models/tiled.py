"""Tiled denoising of a canvas of any size, with blending of the tiles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, groupby

import torch
from torch import Tensor

from dcvsr.attention.exchange import Propagate
from dcvsr.attention.lockstep import Exchange, among_themselves, side_by_side
from dcvsr.attention.observer import NOBODY, Observer, Place
from dcvsr.attention.processor import Call, calling
from dcvsr.attention.propagation import Propagation, Round
from dcvsr.attention.self_attention import Attend, self_attention
from dcvsr.diffusion.protocols import Advance, Combination, ignored
from dcvsr.models.denoiser import Condition, Denoiser
from dcvsr.models.evaluation_progress import EvaluationProgress
from dcvsr.runtime.frame_stores import FramesInMemory, FrameStore
from dcvsr.tiling.blend import gaussian_window
from dcvsr.tiling.canvas import Canvas, plane_weight
from dcvsr.tiling.grid import Tile

Group = dict[int, Tile]
"""Index m -> tile: tiles of a window with equal shape, one batch of the U-Net."""


@dataclass(frozen=True)
class Visit:
    """One evaluation of a window.

    Attributes:
        window, tiles: index n and tiles.
        slot: number of frames in all visits before it.
        direction: ``forward`` or ``backward``.
        is_first: True for the first window of an order, which receives nothing from others.
    """

    window: int
    tiles: Sequence[Tile]
    slot: int
    direction: str
    is_first: bool

    @property
    def frames(self) -> range:
        """Frames of the window."""
        return range(self.tiles[0].frames.start, self.tiles[0].frames.stop)


def visits(windows: Sequence[Sequence[Tile]], round: Round) -> list[Visit]:
    """Return the evaluations of ``windows`` in a round, in order."""
    slot, found = 0, list[Visit]()
    for order in round.orders(len(windows)):
        direction = "backward" if order[0] > order[-1] else "forward"
        for n in order:
            found.append(Visit(n, windows[n], slot, direction, is_first=n == order[0]))
            slot += len(found[-1].frames)
    return found


@dataclass(frozen=True)
class TiledDenoiser:
    """D over a canvas ``f k h w``: guidance within each tile, Gaussian blending between them (spec A18).

    The propagation gives the order of the windows; the tiles of a window advance side by side.

    Attributes:
        windows: step -> tiles by temporal window.
        condition: tile -> its condition, batch 1.
        blend, blend_time: widths of the Gaussian window in tiles.
        steps: number of sampler steps.
        batch: tiles per batch of the U-Net; None for all equal tiles of a window.
        advance: progress callback, in evaluations of one tile.
        shares: `Denoiser.stage_shares`, by which an evaluation advances; empty to advance when it ends.
        observer: receives the evaluations and the propagated layers.
    """

    denoiser: Denoiser
    guidance: Combination[Condition]
    propagation: Propagation
    windows: Callable[[int], Sequence[Sequence[Tile]]]
    condition: Callable[[Tile], Condition]
    blend: float
    blend_time: float
    steps: int
    batch: int | None
    advance: Advance = ignored
    shares: Sequence[float] = ()
    observer: Observer = NOBODY

    def __call__(self, x: Tensor, sigma: float, step: int) -> Tensor:
        """Return the denoised canvas at noise level ``sigma``; float32."""
        round, visits, sums = self.round(step), self.visits(step), FramesInMemory()
        for visit in visits:
            frames = visit.frames
            sums.write(visit.slot, self.weighted(x[frames.start : frames.stop], visit, round, sigma, step))
        return torch.stack([self.merged(sums, visits, number) for number in range(len(x))]).to(x.device)

    def round(self, step: int) -> Round:
        """Return the exchange of ``step``."""
        return self.propagation.round(step, self.steps)

    def visits(self, step: int) -> list[Visit]:
        """Return the evaluations of windows in one evaluation of the canvas, in order."""
        return visits(self.windows(step), self.round(step))

    def weighted(self, x: Tensor, visit: Visit, round: Round, sigma: float, step: int) -> Tensor:
        """Evaluate one window and return the weighted sum of its tiles, float32.

        Visits of a round must come in order, because each may receive what the one before it gave.

        Args:
            x: the window of the noisy canvas, ``f k h w``.
            visit: the window.
            round: the exchange of ``step``.
            sigma: noise level.
            step: sampler step.
        """
        groups = grouped(visit.tiles, self.batch)
        return self.blended(x, groups, self.estimates(x, visit, groups, round, sigma, step))

    def estimates(
        self,
        x: Tensor,
        visit: Visit,
        groups: Sequence[Group],
        round: Round,
        sigma: float,
        step: int,
        exchange: Exchange = among_themselves,
    ) -> list[Tensor]:
        """Evaluate groups of one window side by side; return the guided estimate of each, ``m f k h w``.

        Args:
            x: the window of the noisy canvas, ``f k h w``.
            visit: the window.
            groups: those of its groups that this process evaluates.
            round: the exchange of ``step``.
            sigma: noise level.
            step: sampler step.
            exchange: with the groups of other processes, see `side_by_side`.
        """
        if visit.is_first:
            round.restore({})
        place = Place(
            step, sigma, round.scheme, visit.direction, visit.window, (), len(visit.tiles), 0, (0, 0)
        )
        return side_by_side([partial(self._guided, x, group, round, place) for group in groups], exchange)

    def blended(self, x: Tensor, groups: Sequence[Group], estimates: Sequence[Tensor]) -> Tensor:
        """Return the weighted sum of the tiles of a window, ``f k h w`` like ``x``, in float32."""
        canvas = Canvas(x, self.blend, self.blend_time)
        for group, D in zip(groups, estimates, strict=True):
            for tile, D_m in zip(group.values(), D, strict=True):
                canvas.add(_within(tile), D_m)
        return canvas.sum

    def merged(self, sums: FrameStore, visits: Sequence[Visit], number: int, tag: int = 0) -> Tensor:
        """Return a frame of the denoised canvas, ``k h w`` on the CPU: the weighted mean of its tiles.

        Args:
            sums: what ``weighted`` returned, each visit's frames from its ``slot`` on.
            visits: all visits of the evaluation.
            number: number of the frame.
            tag: tag of ``sums``.
        """
        total, weight = torch.zeros(()), torch.zeros(())
        for visit in visits:
            if number in visit.frames:
                at = number - visit.frames.start
                total = total + sums.read(range(visit.slot + at, visit.slot + at + 1), tag)[0]
                weight = weight + gaussian_window(len(visit.frames), self.blend_time)[at]
        rows, columns = total.shape[-2:]
        return total / (weight * plane_weight(visits[0].tiles, rows, columns, self.blend))

    def _guided(self, window: Tensor, group: Group, round: Round, place: Place) -> Tensor:
        """Return the guided estimate of one group, ``m f k h w``."""
        tiles = list(group.values())
        x = torch.stack([window[_within(tile).index] for tile in tiles])
        branches = count()

        def denoise(
            x: Tensor,
            sigma: float,
            condition: Condition,
            attend: Attend = self_attention,
            mid: Attend | None = None,
        ) -> Tensor:
            here = replace(place, tiles=tuple(group), branch=next(branches), size=(x.shape[-2], x.shape[-1]))

            def evaluate(propagate: Propagate) -> Tensor:
                self.observer.evaluated(here, x)
                progress = EvaluationProgress(self.shares, len(x), self.advance)
                with calling(Call(propagate, attend, mid, here, self.observer, progress.stage_done)):
                    D_x = self.denoiser(x, torch.full((len(x),), sigma, device=x.device), condition)
                progress.finish()
                return D_x

            return round(evaluate, here, self.observer)

        return self.guidance(
            denoise, x, place.sigma, Condition.stacked([self.condition(tile) for tile in tiles])
        )


def grouped(tiles: Sequence[Tile], batch: int | None) -> list[Group]:
    """Return the batches of the U-Net in the order of blending: equal tiles, at most ``batch`` in each."""
    groups: list[Group] = []
    for _, equal in groupby(sorted(enumerate(tiles), key=_shape), key=_shape):
        members = list(equal)
        size = batch or len(members)
        for start in range(0, len(members), size):
            groups.append(dict(members[start : start + size]))
    return groups


def _shape(numbered: tuple[int, Tile]) -> tuple[int, ...]:
    return numbered[1].shape


def _within(tile: Tile) -> Tile:
    """Return the tile counted from the first frame of its window."""
    return replace(tile, frames=slice(0, tile.shape[0]))

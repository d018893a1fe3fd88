"""Seams: what is seen where one tile gives way to the next, in space and in time.

Axes: clips ``f c h w`` in [0, 1]; means of tiles ``f c y x``.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor

import torch
from torch import Tensor

from dcvsr.metrics.clipwise import Clipwise
from dcvsr.metrics.correspondence import Correspondence, patches
from dcvsr.tiling.grid import TileGrid

LITTLE = 0.1 / 255  # joins differences that may be zero, so that their ratios are defined


@dataclass(frozen=True)
class TileLines:
    """Where one tile of an axis gives way to the next at the last step: the middle of what they share.

    There blending weighs both alike. A line through the middle of a latent has a mixed latent about it.

    Attributes:
        grid: of the run, in latents.
        steps: of the sampler.
        pixels: of a latent's side.
    """

    grid: TileGrid
    steps: int
    pixels: int

    def __call__(self, frames: int, height: int, width: int) -> list[list[float]]:
        """Lines of a clip, from its start: in frames along time, in latents along rows and columns."""
        lengths = frames, height / self.pixels, width / self.pixels
        canvas = self.grid.canvas(*(ceil(length) for length in lengths))
        windows = self.grid.windows(*canvas, self.steps - 1)
        tiles = [tile for window in windows for tile in window]
        axes = zip(*((tile.frames, tile.rows, tile.columns) for tile in tiles), strict=True)
        return [_within(length, slices) for length, slices in zip(lengths, axes, strict=True)]


class Steepness(Clipwise):
    """How much steeper or flatter a clip is across tile lines than its reference would have it.

    Steepness is the mean absolute difference of neighbouring pixels across a border of latents, since a
    decoder may leave a step at any. What the reference's steepness at a border explains of the clip's is a
    straight line, fitted along each axis to the borders inside tiles. The natural logarithm of steepness
    across tile lines over what that line gives, without its sign: 0.1 is a tenth more or less. What `blur`
    hides is added. NaN where no tile line crosses the clip.

    Args:
        lines: of the run's tiles.
    """

    higher_is_better = False

    def __init__(self, lines: TileLines) -> None:
        super().__init__()
        self.lines = lines

    def measure(self, restored: Tensor, reference: Tensor) -> Tensor:
        frames, _, height, width = reference.shape
        _, rows, columns = self.lines(frames, height, width)
        seen, expected = self._across(restored.mT, reference.mT, rows) + self._across(
            restored, reference, columns
        )
        return (seen / expected).log().abs() + blur(restored, reference)

    def _across(self, restored: Tensor, reference: Tensor, lines: list[float]) -> Tensor:
        """Steepness summed over the lines of the last axis, and what the reference explains of it: ``2``."""
        ours, truth = self._steps(restored), self._steps(reference)
        line = torch.zeros_like(ours, dtype=torch.bool)
        line[[edge - 1 for edge in _edges(lines) if edge <= len(line)]] = True
        if line.all() or not line.any():
            return ours.new_zeros(2)
        y, x = ours[~line], truth[~line]
        slope = ((y - y.mean()) * (x - x.mean())).sum() / (x - x.mean()).square().sum()
        expected = y.mean() + slope.nan_to_num().clamp(min=0) * (truth[line] - x.mean())
        return torch.stack([ours[line].sum(), expected.clamp(min=LITTLE).sum()])

    def _steps(self, clip: Tensor) -> Tensor:
        """Across every border of latents along the last axis."""
        at = torch.arange(self.lines.pixels, clip.shape[-1], self.lines.pixels, device=clip.device)
        return (clip[..., at] - clip[..., at - 1]).abs().mean(dim=(0, 1, 2)).double() + LITTLE


class Drift(Clipwise):
    """How far the colours of neighbouring tiles drift apart, beyond the reference's, in levels of 255.

    The mean absolute difference of what restoring did to the mean colour of two tiles side by side, in the
    same window; an eighth of each is left out along every side, where blur brings in some of the other.
    NaN where no line crosses the clip.

    Args:
        lines: of the run's tiles.
    """

    higher_is_better = False

    def __init__(self, lines: TileLines) -> None:
        super().__init__()
        self.lines = lines

    def measure(self, restored: Tensor, reference: Tensor) -> Tensor:
        frames, _, height, width = reference.shape
        times, rows, columns = self.lines(frames, height, width)
        change = restored - reference
        for axis, lines in ((3, columns), (2, rows)):
            tiles = change.tensor_split([int(line * self.lines.pixels) for line in lines], axis)
            change = torch.stack([_inner(tile, axis).mean(axis) for tile in tiles], axis)
        windows = change.tensor_split([int(line) for line in times])
        change = torch.stack([window.mean(0) for window in windows])
        return 255 * torch.cat([change.diff(dim=axis).abs().flatten() for axis in (2, 3)]).mean()


class Jump(Clipwise):
    """How much more a clip changes from one temporal window to the next than inside windows.

    Change is the mean absolute difference of what the reference shows in two frames, wherever it has moved
    to. The natural logarithm of change where windows meet over change inside them, less the reference's,
    without its sign: 0.7 is twice the change, or half. What `blur` hides is added. NaN where nothing can be
    followed into another window, or inside one.

    Args:
        lines: of the run's tiles.
        alike: finds places of a frame in the next.
        reach: pixels that they may move along an axis.
    """

    higher_is_better = False

    def __init__(self, lines: TileLines, alike: Correspondence, reach: int) -> None:
        super().__init__()
        self.lines, self.alike, self.reach = lines, alike, reach

    def measure(self, restored: Tensor, reference: Tensor) -> Tensor:
        frames, _, height, width = reference.shape
        meet = _edges(self.lines(frames, height, width)[0])
        changes = restored.new_full((2, frames, 2), torch.nan)
        for i in range(1, frames):
            changes[int(i in meet), i] = self._change(restored, reference, i)
        (inside, truth_inside), (between, truth_between) = changes.nanmean(dim=1)
        ratio = between * truth_inside / (inside * truth_between)
        return ratio.log().abs() + blur(restored, reference)

    def _change(self, restored: Tensor, reference: Tensor, i: int) -> Tensor:
        """Of both clips up to frame ``i``: ``2``, NaN if nothing can be followed."""
        here, there = self.alike(reference[i - 1], reference[i], self._near)
        moved = (
            patches(clip[i], there, self.alike.patch) - patches(clip[i - 1], here, self.alike.patch)
            for clip in (restored, reference)
        )
        return torch.stack([change.abs().mean() + LITTLE for change in moved])

    def _near(self, dy: Tensor, dx: Tensor) -> Tensor:
        return (dy.abs() <= self.reach) & (dx.abs() <= self.reach)


def blur(restored: Tensor, reference: Tensor) -> Tensor:
    """How much flatter a clip is than its reference: about what it could gain by smearing its seams.

    The natural logarithm of the ratio of the mean absolute differences of neighbouring pixels, at least 0.
    """
    ours, truth = (
        torch.stack([frame.diff(dim=axis).abs().mean() for frame in clip for axis in (1, 2)]).mean() + LITTLE
        for clip in (restored, reference)
    )
    return (truth / ours).log().clamp(min=0)


def _within(length: float, slices: Iterable[slice]) -> list[float]:
    spans = sorted({(tile.start, tile.stop) for tile in slices})
    middles = [(before[1] + after[0]) / 2 for before, after in pairwise(spans)]
    return [middle for middle in middles if middle < length]


def _edges(lines: list[float]) -> list[int]:
    """First frame, or latent, behind each line; and before the mixed one of a line through its middle."""
    return sorted({part for line in lines for part in (floor(line), ceil(line))})


def _inner(tile: Tensor, axis: int) -> Tensor:
    length = tile.shape[axis]
    return tile.narrow(axis, length // 8, length - 2 * (length // 8))

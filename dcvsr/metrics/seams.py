"""Metrics of seams between tiles, in space and in time.

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

EPSILON = 0.1 / 255  # added to differences that may be zero, so that their ratios are finite


@dataclass(frozen=True)
class TileLines:
    """Positions of the boundaries between tiles at the last sampler step: the middle of each overlap.

    Blending weighs both tiles equally there. A line may cross the middle of a latent, which then mixes both.

    Attributes:
        grid: tile grid of the run, in latents.
        steps: number of sampler steps.
        pixels: side of a latent in pixels.
    """

    grid: TileGrid
    steps: int
    pixels: int

    def __call__(self, frames: int, height: int, width: int) -> list[list[float]]:
        """Return the lines along time in frames, and along rows and columns in latents."""
        lengths = frames, height / self.pixels, width / self.pixels
        canvas = self.grid.canvas(*(ceil(length) for length in lengths))
        windows = self.grid.windows(*canvas, self.steps - 1)
        tiles = [tile for window in windows for tile in window]
        axes = zip(*((tile.frames, tile.rows, tile.columns) for tile in tiles), strict=True)
        return [_within(length, slices) for length, slices in zip(lengths, axes, strict=True)]


class Steepness(Clipwise):
    """Excess error of a clip's gradients across tile lines over that across other borders of latents.

    The gradient at a border is the mean absolute difference of the pixels on either side. A decoder may leave
    a step at any border of latents, so borders inside tiles are the baseline. Along each axis, a straight
    line fitted to them predicts the clip's gradient from its reference's. The error of a border is the
    absolute natural logarithm of gradient over prediction, so steps and smears both count and cannot cancel.
    The score is the mean error at tile lines minus the mean error inside tiles: 0.1 is a gradient about 10 %
    further off at the lines. NaN if no tile line crosses the clip.

    Clips without seams score 0 on average, but single clips scatter around 0: over 8 clips of 144x96 pixels
    with 3 tile lines, untiled results scored 0.006 +- 0.028 (bicubic) and 0.010 +- 0.026 (another texture)
    at mean errors of 0.06 and 0.08. Negative values are scatter.

    Smearing the whole clip hides seams and lowers this score: read it beside `BlurMetric`.

    Args:
        lines: tile lines of the run.
    """

    higher_is_better = False

    def __init__(self, lines: TileLines) -> None:
        super().__init__()
        self.lines = lines
        self.smallest = lines.pixels

    def measure(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Measure the excess gradient error of one clip."""
        frames, _, height, width = reference.shape
        _, rows, columns = self.lines(frames, height, width)
        axes = (
            self._ratios(restored.mT, reference.mT, rows),
            self._ratios(restored, reference, columns),
        )
        return excess(*(torch.cat(parts) for parts in zip(*axes, strict=True)))

    def _ratios(self, restored: Tensor, reference: Tensor, lines: list[float]) -> tuple[Tensor, Tensor]:
        """Return log(gradient / prediction) at all borders of the last axis, and a mask of the tile lines."""
        gradients, reference_gradients = self._gradients(restored), self._gradients(reference)
        line = torch.zeros_like(gradients, dtype=torch.bool)
        line[[edge - 1 for edge in _edges(lines) if edge <= len(line)]] = True
        if line.all() or not line.any():
            return gradients[:0], line[:0]
        y, x = gradients[~line], reference_gradients[~line]
        slope = ((y - y.mean()) * (x - x.mean())).sum() / (x - x.mean()).square().sum()
        expected = y.mean() + slope.nan_to_num().clamp(min=0) * (reference_gradients - x.mean())
        return (gradients / expected.clamp(min=EPSILON)).log(), line

    def _gradients(self, clip: Tensor) -> Tensor:
        """Compute the gradient across each border of latents along the last axis."""
        at = torch.arange(self.lines.pixels, clip.shape[-1], self.lines.pixels, device=clip.device)
        return (clip[..., at] - clip[..., at - 1]).abs().mean(dim=(0, 1, 2)).double() + EPSILON


class Drift(Clipwise):
    """Difference of colour error between neighbouring tiles, in levels of 255.

    The colour error of a tile is its mean colour minus the reference's. The score is the mean absolute
    difference of this error between adjacent tiles of one temporal window. The outer eighth of each tile is
    excluded along each side, because blur mixes it with the neighbour. Blurring a clip hardly changes the
    score. NaN if no line crosses the clip.

    Clips without seams do not score 0, because colour errors at the scale of tiles count. Over 8 clips of
    144x96 pixels, untiled results scored 0.35 +- 0.08 (bicubic) and 0.60 +- 0.21 (another texture).

    Args:
        lines: tile lines of the run.
    """

    higher_is_better = False

    def __init__(self, lines: TileLines) -> None:
        super().__init__()
        self.lines = lines

    def measure(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Measure the colour drift of one clip."""
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
    """Excess error of a clip's change between temporal windows over that inside windows.

    The change of a frame is the mean absolute difference of matching patches in it and the frame before; the
    reference gives the matches. The error of a frame is the absolute natural logarithm of the clip's change
    over the reference's, after division by the same ratio of the mean changes inside windows. Too much and
    too little change both count and cannot cancel. The score is the mean error at the first frames of windows
    minus the mean error inside windows: 0.7 is twice the change, or half. NaN if no patches match across
    windows, or none match inside windows.

    Clips without jumps score 0 on average: over 8 clips of 16 frames of 144x96 pixels, untiled results
    scored -0.001 +- 0.004 (bicubic) and 0.000 +- 0.002 (another texture).

    Smearing the whole clip hides jumps of detail and lowers this score: read it beside `BlurMetric`.

    Args:
        lines: tile lines of the run.
        correspondence: matches patches of a frame with the next.
        reach: largest motion of a patch along an axis, in pixels.
    """

    higher_is_better = False

    def __init__(self, lines: TileLines, correspondence: Correspondence, reach: int) -> None:
        super().__init__()
        self.lines, self.correspondence, self.reach = lines, correspondence, reach
        self.smallest = correspondence.patch

    def measure(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Measure the excess change of one clip."""
        frames, _, height, width = reference.shape
        first = torch.zeros(frames, dtype=torch.bool, device=reference.device)  # of a window
        first[_edges(self.lines(frames, height, width)[0])] = True
        changes = restored.new_full((frames, 2), torch.nan)
        for i in range(1, frames):
            changes[i] = self._change(restored, reference, i)
        change, reference_change = (changes / changes[~first].nanmean(dim=0)).unbind(dim=1)
        return excess((change / reference_change).log(), first)

    def _change(self, restored: Tensor, reference: Tensor, i: int) -> Tensor:
        """Compute both clips' change from frame ``i - 1`` to ``i``: ``2``, NaN if no patches match."""
        here, there = self.correspondence(reference[i - 1], reference[i], self._near)
        moved = (
            patches(clip[i], there, self.correspondence.patch)
            - patches(clip[i - 1], here, self.correspondence.patch)
            for clip in (restored, reference)
        )
        return torch.stack([change.abs().mean() + EPSILON for change in moved])

    def _near(self, dy: Tensor, dx: Tensor) -> Tensor:
        return (dy.abs() <= self.reach) & (dx.abs() <= self.reach)


def excess(ratios: Tensor, at_seam: Tensor) -> Tensor:
    """Subtract the mean absolute log ratio ``n`` elsewhere from that at seams; NaN if either is empty."""
    error = ratios.abs()
    return error[at_seam].nanmean() - error[~at_seam].nanmean()


def _within(length: float, slices: Iterable[slice]) -> list[float]:
    spans = sorted({(tile.start, tile.stop) for tile in slices})
    middles = [(before[1] + after[0]) / 2 for before, after in pairwise(spans)]
    return [middle for middle in middles if middle < length]


def _edges(lines: list[float]) -> list[int]:
    """Return the first frame or latent after each line; for a line inside one, both borders of it."""
    return sorted({part for line in lines for part in (floor(line), ceil(line))})


def _inner(tile: Tensor, axis: int) -> Tensor:
    length = tile.shape[axis]
    return tile.narrow(axis, length // 8, length - 2 * (length // 8))

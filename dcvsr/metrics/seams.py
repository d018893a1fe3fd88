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
    """Error of a clip's gradients across tile lines, in excess of that across other borders of latents.

    The gradient at a border is the mean absolute difference of the pixels on either side; a decoder may leave
    a step at any border of latents. Along each axis, a straight line fitted to the borders inside tiles
    predicts the clip's gradient from its reference's. The error of a border is the absolute value of the
    natural logarithm of gradient over prediction: steps and smears both count, and cannot cancel. The score
    is the mean error at tile lines less the mean error inside tiles: 0.1 is a tenth more error at the lines.
    NaN where no tile line crosses the clip.

    A clip without seams scores 0 on average, but not in each clip: over 8 clips of 144x96 pixels with 3
    tile lines, untiled results scored 0.006 +- 0.028 (bicubic) and 0.010 +- 0.026 (another texture), where
    the error itself is 0.06 and 0.08. Negative values are such scatter.

    Smearing the whole clip hides seams and lowers this score: read it beside `Blur`.

    Args:
        lines: of the run's tiles.
    """

    higher_is_better = False

    def __init__(self, lines: TileLines) -> None:
        super().__init__()
        self.lines = lines
        self.smallest = lines.pixels

    def measure(self, restored: Tensor, reference: Tensor) -> Tensor:
        frames, _, height, width = reference.shape
        _, rows, columns = self.lines(frames, height, width)
        axes = (
            self._ratios(restored.mT, reference.mT, rows),
            self._ratios(restored, reference, columns),
        )
        return excess(*(torch.cat(parts) for parts in zip(*axes, strict=True)))

    def _ratios(self, restored: Tensor, reference: Tensor, lines: list[float]) -> tuple[Tensor, Tensor]:
        """Log of gradient over prediction at every border of the last axis, and whether it is a tile line."""
        ours, truth = self._gradients(restored), self._gradients(reference)
        line = torch.zeros_like(ours, dtype=torch.bool)
        line[[edge - 1 for edge in _edges(lines) if edge <= len(line)]] = True
        if line.all() or not line.any():
            return ours[:0], line[:0]
        y, x = ours[~line], truth[~line]
        slope = ((y - y.mean()) * (x - x.mean())).sum() / (x - x.mean()).square().sum()
        expected = y.mean() + slope.nan_to_num().clamp(min=0) * (truth - x.mean())
        return (ours / expected.clamp(min=LITTLE)).log(), line

    def _gradients(self, clip: Tensor) -> Tensor:
        """Across every border of latents along the last axis."""
        at = torch.arange(self.lines.pixels, clip.shape[-1], self.lines.pixels, device=clip.device)
        return (clip[..., at] - clip[..., at - 1]).abs().mean(dim=(0, 1, 2)).double() + LITTLE


class Drift(Clipwise):
    """How far the colours of neighbouring tiles drift apart, beyond the reference's, in levels of 255.

    The mean absolute difference of what restoring did to the mean colour of two tiles side by side, in the
    same window; an eighth of each is left out along every side, where blur brings in some of the other.
    Blurring a clip hardly changes it. NaN where no line crosses the clip.

    A clip without seams does not score 0: any error of colour at the scale of tiles counts. Over 8 clips of
    144x96 pixels, untiled results scored 0.35 +- 0.08 (bicubic) and 0.60 +- 0.21 (another texture).

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
    """Error of a clip's change from one temporal window to the next, in excess of that inside windows.

    Change is the mean absolute difference of what the reference shows in two successive frames, wherever it
    has moved to. The error of a frame is the absolute value of the natural logarithm of the clip's change
    over the reference's, after division by the same ratio of the mean changes inside windows: too much and
    too little change both count, and cannot cancel. The score is the mean error where windows meet less the
    mean error inside windows: 0.7 is twice the change, or half. NaN where nothing can be followed into
    another window, or inside one.

    A clip without jumps scores 0 on average: over 8 clips of 16 frames of 144x96 pixels, untiled results
    scored -0.001 +- 0.004 (bicubic) and 0.000 +- 0.002 (another texture).

    Smearing the whole clip hides jumps of detail and lowers this score: read it beside `Blur`.

    Args:
        lines: of the run's tiles.
        alike: finds places of a frame in the next.
        reach: pixels that they may move along an axis.
    """

    higher_is_better = False

    def __init__(self, lines: TileLines, alike: Correspondence, reach: int) -> None:
        super().__init__()
        self.lines, self.alike, self.reach = lines, alike, reach
        self.smallest = alike.patch

    def measure(self, restored: Tensor, reference: Tensor) -> Tensor:
        frames, _, height, width = reference.shape
        meet = torch.zeros(frames, dtype=torch.bool, device=reference.device)
        meet[_edges(self.lines(frames, height, width)[0])] = True
        changes = restored.new_full((frames, 2), torch.nan)
        for i in range(1, frames):
            changes[i] = self._change(restored, reference, i)
        ours, truth = (changes / changes[~meet].nanmean(dim=0)).unbind(dim=1)
        return excess((ours / truth).log(), meet)

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


def excess(ratios: Tensor, at_seam: Tensor) -> Tensor:
    """Mean absolute value of log ratios ``n`` at seams, less that elsewhere; NaN if either has none."""
    error = ratios.abs()
    return error[at_seam].nanmean() - error[~at_seam].nanmean()


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

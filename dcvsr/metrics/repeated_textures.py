"""Textures: whether what the reference shows twice, far apart, is given the same detail both times.

Axes: clips ``f c h w`` in [0, 1]; n pairs of patches.
"""

from abc import abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from dcvsr.metrics.clipwise import Clipwise
from dcvsr.metrics.correspondence import Correspondence, detail, patches
from dcvsr.metrics.seams import TileLines


class Disagreement(Clipwise):
    """Disagreement of detail between places that match in the reference, where no tile holds both.

    Detail is what LR cannot hold. A is twice the product of the two places' detail over the energy of both,
    summed over all pairs. The score is 1 - A / A of the reference, at least 0: 0 if the places agree as in
    the reference, 1 if they are unrelated. NaN where the reference has no matching places.

    The reference's own A bounds what pairs that agree too well can make up for, since no pair's exceeds 1.

    Energy of detail is divided out. Smearing removes what tiles disagree about and lowers this score: read
    it beside `Blur`. Bicubic scores 0.01 on a still texture. Detail that is not tiled but differs from frame
    to frame or place to place counts too: independent noise of 0.05 over the reference scores 0.12.

    Args:
        lines: of the run's tiles.
        alike: finds places of a frame in another, or in itself.
        every: frames from one that is looked at to the next.
    """

    higher_is_better = False

    def __init__(self, lines: TileLines, alike: Correspondence, every: int) -> None:
        super().__init__()
        self.lines, self.alike, self.every = lines, alike, every
        self.smallest = alike.patch

    @abstractmethod
    def meetings(self, frames: int) -> Iterator[tuple[int, int]]:
        """Frames to compare."""

    @abstractmethod
    def apart(self, dy: Tensor, dx: Tensor) -> Tensor:
        """Whether patches of a meeting, that many pixels from each other, may be compared."""

    def measure(self, restored: Tensor, reference: Tensor) -> Tensor:
        sums = torch.zeros(2, 2, dtype=torch.float64, device=reference.device)
        for i, j in self.meetings(len(reference)):
            here, there = self.alike(reference[i], reference[j], self.apart)
            for clip, total in zip((restored, reference), sums, strict=True):
                a, b = (
                    patches(detail(clip[k]), at, self.alike.patch).double()
                    for k, at in ((i, here), (j, there))
                )
                total[0] += 2 * (a * b).sum()
                total[1] += a.square().sum() + b.square().sum()
        A, A_reference = sums[:, 0] / sums[:, 1]
        return (1 - A / A_reference).clamp(min=0).float()


class FarTextures(Disagreement):
    """`Disagreement` of places of one frame that lie at least a tile apart, so that none ever held both."""

    def meetings(self, frames: int) -> Iterator[tuple[int, int]]:
        return ((i, i) for i in range(0, frames, self.every))

    def apart(self, dy: Tensor, dx: Tensor) -> Tensor:
        tile = self.lines.grid.size * self.lines.pixels
        return (dy.abs() >= tile) | (dx.abs() >= tile)


class Reappearance(Disagreement):
    """`Disagreement` of places that are seen again at least a window later, wherever they are by then."""

    def meetings(self, frames: int) -> Iterator[tuple[int, int]]:
        gap = self.lines.grid.frames
        return (
            (i, j) for i in range(0, frames, self.every) for j in range(frames - 1, i + gap - 1, -self.every)
        )

    def apart(self, dy: Tensor, dx: Tensor) -> Tensor:
        return torch.ones_like(dy, dtype=torch.bool)

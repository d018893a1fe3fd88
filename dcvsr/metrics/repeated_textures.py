"""Consistency of texture: agreement of detail at places far apart that match in the reference.

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
    """Disagreement of detail between places that match in the reference and that no tile holds together.

    Detail is the part of brightness that LR cannot hold. The agreement A is twice the product of the two
    places' detail over the sum of their energies, each summed over all pairs. The score is
    1 - A / A(reference), at least 0: 0 if the places agree as in the reference, 1 if they are unrelated. NaN
    if the reference has no matching places. No pair's A exceeds 1, which bounds how much pairs that agree
    better than in the reference can compensate for others.

    A does not depend on the energy of detail, but smearing removes the detail that tiles disagree about and
    lowers the score: read it beside `BlurMetric`. Bicubic scores 0.01 on a static texture. Differences
    between frames or places count whether or not tiles cause them: independent noise of 0.05 added to the
    reference scores 0.12.

    Args:
        lines: tile lines of the run.
        correspondence: matches patches of two frames, or within one.
        stride: of the frames that are compared.
    """

    higher_is_better = False

    def __init__(self, lines: TileLines, correspondence: Correspondence, stride: int) -> None:
        super().__init__()
        self.lines, self.correspondence, self.stride = lines, correspondence, stride
        self.smallest = correspondence.patch

    @abstractmethod
    def frame_pairs(self, frames: int) -> Iterator[tuple[int, int]]:
        """Yield the pairs of frames to compare."""

    @abstractmethod
    def comparable(self, dy: Tensor, dx: Tensor) -> Tensor:
        """Return a mask of the distances (dy, dx) in pixels at which patches may be compared."""

    def measure(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Measure the disagreement of one clip."""
        sums = torch.zeros(2, 2, dtype=torch.float64, device=reference.device)
        for i, j in self.frame_pairs(len(reference)):
            here, there = self.correspondence(reference[i], reference[j], self.comparable)
            for clip, total in zip((restored, reference), sums, strict=True):
                a, b = (
                    patches(detail(clip[k]), at, self.correspondence.patch).double()
                    for k, at in ((i, here), (j, there))
                )
                total[0] += 2 * (a * b).sum()
                total[1] += a.square().sum() + b.square().sum()
        A, A_reference = sums[:, 0] / sums[:, 1]
        return (1 - A / A_reference).clamp(min=0).float()


class FarTextures(Disagreement):
    """`Disagreement` of places in one frame at least a tile apart, so that no tile held both."""

    def frame_pairs(self, frames: int) -> Iterator[tuple[int, int]]:
        """Yield each compared frame paired with itself."""
        return ((i, i) for i in range(0, frames, self.stride))

    def comparable(self, dy: Tensor, dx: Tensor) -> Tensor:
        """Return where the distance is at least a tile along one axis."""
        tile = self.lines.grid.size * self.lines.pixels
        return (dy.abs() >= tile) | (dx.abs() >= tile)


class Reappearance(Disagreement):
    """`Disagreement` of places that reappear at least one temporal window later, anywhere in the frame."""

    def frame_pairs(self, frames: int) -> Iterator[tuple[int, int]]:
        """Yield pairs of frames at least one temporal window apart."""
        gap = self.lines.grid.frames
        return (
            (i, j)
            for i in range(0, frames, self.stride)
            for j in range(frames - 1, i + gap - 1, -self.stride)
        )

    def comparable(self, dy: Tensor, dx: Tensor) -> Tensor:
        """Return True for every distance."""
        return torch.ones_like(dy, dtype=torch.bool)

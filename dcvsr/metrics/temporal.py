"""Temporal consistency of restored clips against their references; lower is better.

Axes: f frames, c colours, h w pixels. A pair is two consecutive frames, ``2 c h w``.
"""

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from dcvsr.metrics.flow import Flow
from dcvsr.metrics.pairwise import Pairwise
from dcvsr.metrics.perceptual import LPIPS
from dcvsr.metrics.warping import visible, warp


class TOF(Pairwise):
    """Difference between the optical flows of the restored clip and the reference, in pixels: Eq. (13).

    |du| + |dv|, averaged over pixels, then over pairs. The paper writes a sum, but its numbers are means.
    """

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow

    def score(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Compute a pair's mean flow difference in the L1 and the L2 norm: ``2``."""
        difference = flow_of(restored, self.flow) - flow_of(reference, self.flow)
        return torch.stack([difference.norm(p=p, dim=1).mean() for p in (1, 2)])

    def compute(self) -> Tensor:
        """Compute the mean over pairs in the L1 norm, a scalar."""
        return super().compute()[0]

    def readings(self) -> dict[str, Tensor]:
        """Return other common forms of the difference: the endpoint error, and the mean over components."""
        l1, l2 = super().compute()
        return {"endpoint": l2, "components": l1 / 2}


class TOFFarneback(Pairwise):
    """tOF in pixels as published first (TecoGAN, Chu et al. 2020), following its authors' program.

    Compares Farneback's flow of whole frames in eight-bit gray in the L2 norm. Only the central pixels count:
    the largest multiple of 32 per side that leaves a border of 8. The first two and last two frames are
    dropped.

    Args:
        flow: Farneback's estimator with TecoGAN's settings.
    """

    smallest = 48
    dropped = 2

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow

    def score(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Compute a pair's mean flow difference in the L2 norm."""
        difference = flow_of(restored, self.flow) - flow_of(reference, self.flow)
        rows, columns = (_inner(side) for side in difference.shape[-2:])
        return difference[..., rows, columns].norm(dim=1).mean()


class TLP(Pairwise):
    """Difference between the LPIPS of consecutive frames and the reference's, times 100: Eq. (14).

    LPIPS v0.1 on AlexNet, on whole frames, averaged over pairs.

    Raises:
        UserError: if AlexNet's weights cannot be found.
    """

    smallest = LPIPS.smallest

    def __init__(self) -> None:
        super().__init__()
        self.lpips = LPIPS()

    def score(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Compute a pair's difference in LPIPS, times 100."""
        change, reference_change = (self.lpips.score(*pair.split(1)) for pair in (restored, reference))
        return 100 * (change - reference_change).abs()


class WarpingError(Pairwise):
    """Mean squared difference of a frame and the next one warped back (Lai et al. 2018), times 1000.

    Averaged over colours in [0, 1] and the pixels that both frames show (`visible`), then over pairs. Pairs
    without such pixels, as at a cut, are skipped; NaN if no pair remains. The flow is the reference's or,
    without a reference, the clip's own. The unit is 1e-3, as in published tables. Blur lowers the value,
    because a clip without detail cannot flicker.
    """

    needs_reference = False

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow

    def update(self, restored: Tensor, reference: Tensor | None) -> None:
        """Score the pairs of a clip ``f c h w`` in [0, 1] along the flow of ``reference``, if given."""
        super().update(restored, restored if reference is None else reference)

    def score(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Compute a pair's warping error, NaN if the frames share no pixels."""
        there, back = flow_of(reference, self.flow), flow_of(reference.flip(0), self.flow)
        first, second = restored.split(1)
        difference = (warp(second, there) - first).square().mean(dim=1)
        return 1000 * difference[visible(there, back)].mean()

    def compute(self) -> Tensor:
        """Compute the mean over pairs, a scalar."""
        return dim_zero_cat(self.scores).nanmean()


def flow_of(pair: Tensor, flow: Flow) -> Tensor:
    """Estimate the flow from a pair's first frame to its second: ``2 c h w`` -> ``1 2 h w``."""
    return flow(*pair.split(1))


def _inner(side: int) -> slice:
    """Return the slice of central pixels that TecoGAN scores along a side."""
    length = (side - 16) // 32 * 32
    start = (side - length) // 2
    return slice(start, start + length)

"""How the restored frames change from one to the next, compared with how the reference's do; lower is better.

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
    """Eq. (13): how much the restored clip's optical flow differs from the reference's, in pixels.

    |du| + |dv|, the mean over pixels, then over pairs: the paper writes a sum, but its numbers are means.
    """

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow

    def score(self, restored: Tensor, reference: Tensor) -> Tensor:
        """The pair's mean difference in the L1 and in the L2 norm: ``2``."""
        difference = flow_of(restored, self.flow) - flow_of(reference, self.flow)
        return torch.stack([difference.norm(p=p, dim=1).mean() for p in (1, 2)])

    def compute(self) -> Tensor:
        """The mean over pairs, a scalar."""
        return super().compute()[0]

    def readings(self) -> dict[str, Tensor]:
        """The same differences as others report them: the endpoint error, and the mean over components."""
        l1, l2 = super().compute()
        return {"endpoint": l2, "components": l1 / 2}


class TOFFarneback(Pairwise):
    """Chu et al. 2020 (TecoGAN): tOF as first published, by its authors' program, in pixels.

    Farneback's flow of whole frames in eight-bit gray is compared in the L2 norm, on the central pixels: as
    many 32s a side as leave a border of 8. The first two and the last two frames are dropped.

    Args:
        flow: Farneback's, with TecoGAN's settings.
    """

    smallest = 48
    dropped = 2

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow

    def score(self, restored: Tensor, reference: Tensor) -> Tensor:
        difference = flow_of(restored, self.flow) - flow_of(reference, self.flow)
        rows, columns = (_inner(side) for side in difference.shape[-2:])
        return difference[..., rows, columns].norm(dim=1).mean()


class TLP(Pairwise):
    """Eq. (14): how much the perceptual change of consecutive frames differs from the reference's, times 100.

    LPIPS v0.1 on AlexNet, whole frames; the mean over pairs.

    Raises:
        UserError: if AlexNet's weights cannot be had.
    """

    smallest = LPIPS.smallest

    def __init__(self) -> None:
        super().__init__()
        self.lpips = LPIPS()

    def score(self, restored: Tensor, reference: Tensor) -> Tensor:
        change, true_change = (self.lpips.score(*pair.split(1)) for pair in (restored, reference))
        return 100 * (change - true_change).abs()


class WarpingError(Pairwise):
    """Lai et al. 2018: mean squared difference of a frame and the next taken back along the flow, times 1000.

    In [0, 1], the mean over colours and the pixels that both frames show (`visible`), then over pairs; a pair
    that shares none, as at a cut, is left out, and without any other the value is NaN. The flow is the
    reference's or, without one, the clip's own. Tables give it in units of 1e-3, and so does this. Blur
    lowers it: what has no detail cannot flicker.
    """

    needs_reference = False

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow

    def update(self, restored: Tensor, reference: Tensor | None) -> None:
        super().update(restored, restored if reference is None else reference)

    def score(self, restored: Tensor, reference: Tensor) -> Tensor:
        there, back = flow_of(reference, self.flow), flow_of(reference.flip(0), self.flow)
        first, second = restored.split(1)
        difference = (warp(second, there) - first).square().mean(dim=1)
        return 1000 * difference[visible(there, back)].mean()

    def compute(self) -> Tensor:
        """The mean over pairs, a scalar."""
        return dim_zero_cat(self.scores).nanmean()


def flow_of(pair: Tensor, flow: Flow) -> Tensor:
    """From a pair's first frame to its second: ``2 c h w`` -> ``1 2 h w``."""
    return flow(*pair.split(1))


def _inner(side: int) -> slice:
    """The central pixels that TecoGAN scores of a side."""
    length = (side - 16) // 32 * 32
    start = (side - length) // 2
    return slice(start, start + length)

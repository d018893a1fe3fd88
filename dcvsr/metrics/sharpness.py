"""Sharpness at edges alone, where grain does not pass for it.

Axes: clips ``f c h w`` in [0, 1].
"""

import torch
from kornia.color import rgb_to_grayscale
from kornia.filters import spatial_gradient
from torch import Tensor

from dcvsr.metrics.clipwise import Clipwise

LEVEL = 1 / 255


class EdgeSharpness(Clipwise):
    """How steep a clip's edges are, over how steep its reference's are: 1 is as sharp, less is blurred.

    The mean slope of luma (Sobel) over the pixels where that of the reference's frame is greatest. NaN where
    the reference has no edges: its own is less than a level of 255 a pixel.

    Args:
        share: of a frame's pixels that count as edges.
    """

    higher_is_better = True

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def measure(self, restored: Tensor, reference: Tensor) -> Tensor:
        slopes = []
        for pair in zip(restored, reference, strict=True):
            ours, truth = (_slope(frame) for frame in pair)
            edges = truth.topk(max(1, round(self.share * truth.numel()))).indices
            slopes.append(torch.stack([ours[edges].mean(), truth[edges].mean()]))
        ours, truth = torch.stack(slopes).mean(dim=0)
        return ours / truth if truth > LEVEL else truth * torch.nan


def _slope(frame: Tensor) -> Tensor:
    """Of each pixel of ``c h w``, in one row."""
    return spatial_gradient(rgb_to_grayscale(frame[None]))[0, 0].norm(dim=0).flatten()

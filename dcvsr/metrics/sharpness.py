"""Sharpness at the reference's edges, where grain does not pass for it, and blur of whole frames.

Axes: clips ``f c h w`` in [0, 1].
"""

import torch
from kornia.color import rgb_to_grayscale
from kornia.filters import spatial_gradient
from torch import Tensor

from dcvsr.metrics.clipwise import Clipwise

LEVEL = 1 / 255
LITTLE = 0.1 / 255  # joins gradients that may be zero, so that their ratios are defined


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


class BlurMetric(Clipwise):
    """Gradient that a clip has lost against its reference: what smearing costs, and seam scores do not count.

    The natural logarithm of the reference's mean absolute difference of neighbouring pixels over the clip's,
    at least 0, of each frame; then the mean over frames, so that sharp frames do not make up for blurred
    ones. 0.1 is a tenth of the gradient lost. Noise within a frame can hide blur: see `EdgeSharpness`.
    """

    higher_is_better = False

    def measure(self, restored: Tensor, reference: Tensor) -> Tensor:
        ours, truth = (torch.stack([_gradient(frame) for frame in clip]) for clip in (restored, reference))
        return (truth / ours).log().clamp(min=0).mean()


def _gradient(frame: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels of ``c h w``, along both sides alike."""
    return torch.stack([frame.diff(dim=axis).abs().mean() for axis in (1, 2)]).mean() + LITTLE


def _slope(frame: Tensor) -> Tensor:
    """Of each pixel of ``c h w``, in one row."""
    return spatial_gradient(rgb_to_grayscale(frame[None]))[0, 0].norm(dim=0).flatten()

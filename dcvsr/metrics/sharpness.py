"""Sharpness at the reference's edges, which grain hardly affects, and blur of whole frames.

Axes: clips ``f c h w`` in [0, 1].
"""

import torch
from kornia.color import rgb_to_grayscale
from kornia.filters import spatial_gradient
from torch import Tensor

from dcvsr.metrics.clipwise import Clipwise

LEVEL = 1 / 255
EPSILON = 0.1 / 255  # added to gradients that may be zero, so that their ratios are finite


class EdgeSharpness(Clipwise):
    """Ratio of a clip's edge gradient to its reference's: 1 is equally sharp, less is blurred.

    The mean luma gradient (Sobel) over the pixels where the gradient of the reference's frame is largest. NaN
    if the reference has no edges: its mean gradient there is at most one level of 255 per pixel.

    Args:
        share: share of a frame's pixels that count as edges.
    """

    higher_is_better = True

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def measure(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Measure the edge sharpness of one clip."""
        slopes = []
        for pair in zip(restored, reference, strict=True):
            slope, reference_slope = (_slope(frame) for frame in pair)
            edges = reference_slope.topk(max(1, round(self.share * reference_slope.numel()))).indices
            slopes.append(torch.stack([slope[edges].mean(), reference_slope[edges].mean()]))
        slope, reference_slope = torch.stack(slopes).mean(dim=0)
        return slope / reference_slope if reference_slope > LEVEL else reference_slope * torch.nan


class BlurMetric(Clipwise):
    """Gradient that a clip has lost against its reference; detects smearing, which seam metrics reward.

    For each frame, the natural logarithm of the reference's mean absolute difference of neighbouring pixels
    over the clip's, at least 0. Then the mean over frames, so that sharp frames do not compensate for blurred
    ones. 0.1 is about 10 % of the gradient lost. Noise within a frame can hide blur: see `EdgeSharpness`.
    """

    higher_is_better = False

    def measure(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Measure the lost gradient of one clip."""
        gradient, reference_gradient = (
            torch.stack([_gradient(frame) for frame in clip]) for clip in (restored, reference)
        )
        return (reference_gradient / gradient).log().clamp(min=0).mean()


def _gradient(frame: Tensor) -> Tensor:
    """Compute the mean absolute difference of neighbouring pixels of ``c h w`` over both directions."""
    return torch.stack([frame.diff(dim=axis).abs().mean() for axis in (1, 2)]).mean() + EPSILON


def _slope(frame: Tensor) -> Tensor:
    """Compute the gradient magnitude of each pixel of ``c h w``, flattened."""
    return spatial_gradient(rgb_to_grayscale(frame[None]))[0, 0].norm(dim=0).flatten()

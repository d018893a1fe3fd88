"""Specks: single pixels off in places where the reference is smooth, which averages of noise hide.

Axes: clips ``f c h w`` in [0, 1].
"""

import torch
from kornia.color import rgb_to_ycbcr
from kornia.filters import median_blur
from torch import Tensor
from torch.nn.functional import max_pool2d

from dcvsr.metrics.clipwise import Clipwise


class Specks(Clipwise):
    """Specks per 10,000 smooth pixels.

    A pixel is an outlier by its luma's distance to the median of 3x3 pixels. Smooth are pixels of the
    reference without an outlier in the 5x5 around, so grain and texture of the reference do not count. NaN if
    less than 1 % of a clip is smooth.

    Args:
        speck: distance above which a pixel of the clip is a speck, in levels of 255.
        smooth: distance above which a pixel of the reference is an outlier.
    """

    higher_is_better = False
    smallest = 7

    def __init__(self, speck: float, smooth: float) -> None:
        super().__init__()
        self.speck, self.smooth = speck, smooth

    def measure(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Count the specks of one clip."""
        specks, smooth = 0, 0
        for frame, reference_frame in zip(restored.split(1), reference.split(1), strict=True):
            is_smooth = smooth_pixels(reference_frame, self.smooth)
            is_speck = distance_to_median(frame)[..., 2:-2, 2:-2].round(decimals=3) > self.speck
            specks += int((is_speck & is_smooth).sum())
            smooth += int(is_smooth.sum())
        if smooth < 0.01 * reference[:, 0].numel():
            return reference.new_tensor(torch.nan)
        return reference.new_tensor(1e4 * specks / smooth)


def smooth_pixels(reference: Tensor, smooth: float) -> Tensor:
    """Find the pixels of a reference without an outlier in the 5x5 around: ``f 1 h-6 w-6``."""
    is_outlier = distance_to_median(reference).round(decimals=3) > smooth  # float errors decide no tie
    return max_pool2d(is_outlier.double(), 5, stride=1) == 0


def distance_to_median(clip: Tensor) -> Tensor:
    """Compute how far each inner pixel's luma is from its 3x3's median, in levels: ``f 1 h-2 w-2``."""
    luma = 255 * rgb_to_ycbcr(clip)[:, :1]
    return (luma - median_blur(luma, 3))[..., 1:-1, 1:-1].abs()

"""Noise in flat regions: speckle that perceptual scores may mistake for detail.

Axes: clips ``f c h w`` in [0, 1]; colours Y, Cb, Cr.
"""

from math import pi, sqrt

import torch
from kornia.color import rgb_to_ycbcr
from kornia.filters import gaussian_blur2d, spatial_gradient
from torch import Tensor
from torch.nn.functional import conv2d, pad

from dcvsr.metrics.clipwise import Clipwise
from dcvsr.metrics.framewise import described
from dcvsr.runtime.errors import UserError

ROUNDING = 1 / sqrt(12)
"""Standard deviation of rounding to eight bits, in levels of 255; added to both noise powers of the ratio.

It keeps the ratio finite where the reference has no noise.
"""


class FlatNoise(Clipwise):
    """Ratio of a clip's luma noise to its reference's, where the reference is flat.

    The ratio of standard deviations, at least 1, so that blur is not rewarded. A pixel is flat if the
    gradient of the smoothed reference is below ``steepest`` in Y, Cb and Cr, similar to the edge exclusion of
    Tai and Yang 2008. NaN if less than 1 % of a clip is flat.

    Args:
        smoothing: standard deviation in pixels of the Gaussian that denoises the reference.
        steepest: largest gradient of a flat pixel, in levels of 255 per pixel.
    """

    higher_is_better = False
    colours = slice(0, 1)

    def __init__(self, smoothing: float, steepest: float) -> None:
        super().__init__()
        self.smoothing, self.steepest = smoothing, steepest

    def measure(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Measure the noise ratio of one clip.

        Raises:
            UserError: if the clip is too small to be smoothed.
        """
        if min(reference.shape[-2:]) < 2 * self._reach + 3:
            raise UserError(f"noise needs {2 * self._reach + 3} pixels a side, got {described(reference)}")
        totals, count = reference.new_zeros(2, 3, dtype=torch.float64), 0
        for pair in zip(restored.split(1), reference.split(1), strict=True):
            ycbcr = [255 * rgb_to_ycbcr(frame.double()) for frame in pair]
            flat = self._flat(ycbcr[1])
            totals += torch.stack([magnitude(frame)[0, :, flat].sum(dim=1) for frame in ycbcr])
            count += int(flat.sum())
        if count < 0.01 * reference[:, 0].numel():
            return reference.new_tensor(torch.nan)
        power, reference_power = (totals / count)[:, self.colours].square().mean(dim=1) + ROUNDING**2
        return (power / reference_power).sqrt().clamp(min=1)

    def _flat(self, reference: Tensor) -> Tensor:
        """Return the mask of flat inner pixels, bool ``h-2 w-2``; False where smoothing used the padding."""
        reach = self._reach
        side = 2 * reach + 1
        smooth = gaussian_blur2d(reference, (side, side), (self.smoothing, self.smoothing))
        slope = spatial_gradient(smooth)[0].norm(dim=1).amax(dim=0)[1:-1, 1:-1]
        return pad(slope[reach:-reach, reach:-reach] < self.steepest, [reach] * 4)

    @property
    def _reach(self) -> int:
        return round(3 * self.smoothing)


class FlatChromaNoise(FlatNoise):
    """`FlatNoise` of Cb and Cr together."""

    colours = slice(1, 3)


def magnitude(clip: Tensor) -> Tensor:
    """Compute |I * N| (Immerkaer 1996), scaled so that white noise averages its sigma: ``f c h-2 w-2``."""
    N = clip.new_tensor([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    response = conv2d(clip.flatten(0, 1)[:, None], N[None, None]).unflatten(0, clip.shape[:2])[:, :, 0]
    return sqrt(pi / 2) / 6 * response.abs()

"""Noise in flat places: speckle that perceptual scores may take for detail.

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
"""Levels of 255 by which eight bits round: joins both sides, so that a ratio to no noise is defined."""


class FlatNoise(Clipwise):
    """How many times its reference's noise a clip has in luma, where the reference is flat.

    The ratio of standard deviations; below 1 it counts as 1, for blur is no merit. Flat is where no colour of
    the reference, smoothed, climbs more than ``steepest``: as Tai and Yang 2008 leave edges out. NaN where
    less than a hundredth of a clip is flat.

    Args:
        smoothing: standard deviation of the Gaussian that takes noise out of the reference first, in pixels.
        steepest: levels of 255 a pixel.
    """

    higher_is_better = False
    colours = slice(0, 1)

    def __init__(self, smoothing: float, steepest: float) -> None:
        super().__init__()
        self.smoothing, self.steepest = smoothing, steepest

    def measure(self, restored: Tensor, reference: Tensor) -> Tensor:
        """
        Raises:
            UserError: if the clip is too small to be smoothed.
        """
        if min(reference.shape[-2:]) < 2 * self._reach + 3:
            raise UserError(f"noise needs {2 * self._reach + 3} pixels a side, got {described(reference)}")
        totals, count = reference.new_zeros(2, 3, dtype=torch.float64), 0
        for pair in zip(restored.split(1), reference.split(1), strict=True):
            ours, truth = (255 * rgb_to_ycbcr(frame.double()) for frame in pair)
            flat = self._flat(truth)
            totals += torch.stack([magnitude(frame)[0, :, flat].sum(dim=1) for frame in (ours, truth)])
            count += int(flat.sum())
        if count < 0.01 * reference[:, 0].numel():
            return reference.new_tensor(torch.nan)
        power, true_power = (totals / count)[:, self.colours].square().mean(dim=1) + ROUNDING**2
        return (power / true_power).sqrt().clamp(min=1)

    def _flat(self, truth: Tensor) -> Tensor:
        """Which of a frame's inner pixels are: bool ``h-2 w-2``; none that the smoothed border reaches."""
        reach = self._reach
        side = 2 * reach + 1
        smooth = gaussian_blur2d(truth, (side, side), (self.smoothing, self.smoothing))
        slope = spatial_gradient(smooth)[0].norm(dim=1).amax(dim=0)[1:-1, 1:-1]
        return pad(slope[reach:-reach, reach:-reach] < self.steepest, [reach] * 4)

    @property
    def _reach(self) -> int:
        return round(3 * self.smoothing)


class FlatChromaNoise(FlatNoise):
    """The same of Cb and Cr together."""

    colours = slice(1, 3)


def magnitude(clip: Tensor) -> Tensor:
    """Immerkaer 1996: |I * N| to a scale at which white noise has its sigma for a mean: ``f c h-2 w-2``."""
    N = clip.new_tensor([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    response = conv2d(clip.flatten(0, 1)[:, None], N[None, None]).unflatten(0, clip.shape[:2])[:, :, 0]
    return sqrt(pi / 2) / 6 * response.abs()

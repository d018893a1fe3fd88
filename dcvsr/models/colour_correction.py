"""Colour correction of a decoded video against I^up, frame by frame (spec A19).

The paper does not mention it. The definitions are those of StableSR (Wang et al. 2024), wavelet_color_fix.py.
Axes: video and reference ``f c h w`` in [0, 1].
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

ColourCorrection = Literal["none", "wavelet", "adain"]

LEVELS = 5
LEAST_VARIANCE = 1e-5
"""Variance of a frame's channel, less than one 8-bit level of contrast: below it there is none to rescale."""


def corrected(video: Tensor, reference: Tensor, method: ColourCorrection) -> Tensor:
    """Give ``video`` the colours of ``reference``; the result is not clamped."""
    if method == "none":
        return video
    correct = {"wavelet": wavelet, "adain": adain}[method]
    pairs = zip(video.split(1), reference.split(1), strict=True)  # one frame at a time: bounded memory
    return torch.cat([correct(frame, like) for frame, like in pairs])


def wavelet(video: Tensor, reference: Tensor) -> Tensor:
    """Replace the low frequencies of ``video`` by those of ``reference``; detail stays as it is.

    Low frequencies are what ``LEVELS`` steps of the a-trous wavelet transform leave.
    """
    return video - low_frequencies(video) + low_frequencies(reference)


def low_frequencies(video: Tensor) -> Tensor:
    """Blur by the 3x3 binomial kernel at dilations 1, 2, 4, 8 and 16, borders replicated."""
    binomial = video.new_tensor([0.25, 0.5, 0.25])
    channels = video.shape[1]
    kernel = torch.outer(binomial, binomial).expand(channels, 1, 3, 3)
    for level in range(LEVELS):
        dilation = 2**level
        padded = F.pad(video, (dilation,) * 4, mode="replicate")
        video = F.conv2d(padded, kernel, groups=channels, dilation=dilation)
    return video


def adain(video: Tensor, reference: Tensor) -> Tensor:
    """Give each channel of each frame the mean and standard deviation that ``reference`` has there."""
    mean, std = _moments(video)
    mean_reference, std_reference = _moments(reference)
    return (video - mean) * (std_reference / std) + mean_reference


def _moments(video: Tensor) -> tuple[Tensor, Tensor]:
    variance, mean = torch.var_mean(video, dim=(-2, -1), keepdim=True, correction=0)
    return mean, variance.clamp(min=LEAST_VARIANCE).sqrt()

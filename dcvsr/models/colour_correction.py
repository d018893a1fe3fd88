"""Colour correction of a decoded video against I^up, frame by frame (spec A19).

The paper does not mention colour correction. Definitions: StableSR (Wang et al. 2024), wavelet_color_fix.py.
Axes: video and reference ``f c h w`` in [0, 1].
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

ColourCorrection = Literal["none", "wavelet", "adain"]

LEVELS = 5
LEAST_VARIANCE = 1e-5
"""Smallest variance of a channel, less than one 8-bit level of contrast; avoids division by zero."""


def corrected(video: Tensor, reference: Tensor, method: ColourCorrection) -> Tensor:
    """Transfer the colours of ``reference`` to ``video``; the result is not clamped."""
    if method == "none":
        return video
    correct = {"wavelet": wavelet, "adain": adain}[method]
    pairs = zip(video.split(1), reference.split(1), strict=True)  # one frame at a time: bounded memory
    return torch.cat([correct(frame, like) for frame, like in pairs])


def wavelet(video: Tensor, reference: Tensor) -> Tensor:
    """Replace the low frequencies of ``video`` by those of ``reference`` and keep its detail.

    Low frequencies are the residual of ``LEVELS`` steps of the a-trous wavelet transform.
    """
    return video - low_frequencies(video) + low_frequencies(reference)


def low_frequencies(video: Tensor) -> Tensor:
    """Blur with the 3x3 binomial kernel at dilations 1, 2, 4, 8 and 16, borders replicated."""
    binomial = video.new_tensor([0.25, 0.5, 0.25])
    channels = video.shape[1]
    kernel = torch.outer(binomial, binomial).expand(channels, 1, 3, 3)
    for level in range(LEVELS):
        dilation = 2**level
        padded = F.pad(video, (dilation,) * 4, mode="replicate")
        video = F.conv2d(padded, kernel, groups=channels, dilation=dilation)
    return video


def adain(video: Tensor, reference: Tensor) -> Tensor:
    """Match the mean and standard deviation of each channel of each frame to those of ``reference``."""
    mean, std = _moments(video)
    mean_reference, std_reference = _moments(reference)
    return (video - mean) * (std_reference / std) + mean_reference


def _moments(video: Tensor) -> tuple[Tensor, Tensor]:
    variance, mean = torch.var_mean(video, dim=(-2, -1), keepdim=True, correction=0)
    return mean, variance.clamp(min=LEAST_VARIANCE).sqrt()

"""PSNR and SSIM of RGB and of luma, over whole frames."""

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from dcvsr.imaging import full_range_luma, limited_range_luma
from dcvsr.metrics.framewise import Framewise

CAP = 60.0
"""PSNR in dB of a frame that equals its reference: libvmaf's cap (Netflix/vmaf issue 371), 6 * 8 bits + 12.

Rounding to 8 bits alone gives 58.9 dB. basicsr scores infinity here, which makes the mean infinite; its
differentiable variant adds 1e-8 to the error, a cap of 80 dB.
"""


class PSNR(Framewise):
    """Peak signal-to-noise ratio of RGB in dB, averaged over frames; nothing is cropped.

    Published tables average this way. A frame that equals its reference scores `CAP`, so a few black frames
    raise the mean. They hardly change `PooledPSNR`.
    """

    higher_is_better = True

    def error(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Compute a frame's mean squared error: two tensors ``1 c h w`` in [0, 1] -> a scalar."""
        return (restored - reference).square().mean()

    def score(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Compute a frame's PSNR in dB."""
        return decibels(self.error(restored, reference))


class PSNRY(PSNR):
    """PSNR of ITU-R BT.601 luma in [16, 235], against a peak of 255.

    The convention of basicsr and of MATLAB's rgb2ycbcr, not rounded.
    """

    def error(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Compute the mean squared error of a frame's luma."""
        return super().error(limited_range_luma(restored, peak=1), limited_range_luma(reference, peak=1))


class PooledPSNR(PSNR):
    """PSNR of the mean squared error over all frames, in RGB: x264's "global" PSNR. At most `CAP`."""

    def score(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Compute a frame's mean squared error."""
        return self.error(restored, reference)

    def compute(self) -> Tensor:
        """Compute the PSNR of the mean error in dB, a scalar."""
        return decibels(super().compute())


class PooledPSNRY(PooledPSNR, PSNRY):
    """`PooledPSNR` of luma, in the convention of `PSNRY`."""


class SSIM(Framewise):
    """Structural similarity of luma (Wang et al. 2004), in the convention of the official values pyiqa cites.

    Y = .299 R + .587 G + .114 B on [0, 255], rounded. The Gaussian window is 11x11 with sigma 1.5 and is
    evaluated only where it fits into the frame. Nothing is cropped, downsampled or clamped. Computed in
    float64, because torchmetrics in float32 scores a white frame against itself 0.9992.
    """

    higher_is_better = True
    smallest = 11

    def score(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Compute the SSIM of a frame's luma."""
        return ssim(full_range_luma(restored).round(), full_range_luma(reference).round())


class SSIMRGB(SSIM):
    """Mean of the SSIM of red, green and blue."""

    def score(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Compute the mean SSIM of a frame's three channels."""
        colours = (
            rearrange(255 * frame.double(), "f c h w -> (f c) 1 h w") for frame in (restored, reference)
        )
        return ssim(*colours)


def decibels(error: Tensor) -> Tensor:
    """Convert a mean squared error to PSNR in dB against a peak of 1, at most `CAP`."""
    return (-10 * error.log10()).clamp(max=CAP)


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Compute Eq. (13) of Wang et al. 2004, averaged: two tensors ``f 1 h w`` in [0, 255] -> a scalar."""
    C_1, C_2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mu_x, mu_y = _window(x), _window(y)
    var_x, var_y = _window(x * x) - mu_x**2, _window(y * y) - mu_y**2
    cov = _window(x * y) - mu_x * mu_y
    luminance = (2 * mu_x * mu_y + C_1) / (mu_x**2 + mu_y**2 + C_1)
    structure = (2 * cov + C_2) / (var_x + var_y + C_2)
    return (luminance * structure).mean()


def _window(image: Tensor) -> Tensor:
    """Average under the Gaussian window at each position where it fits."""
    offset = torch.arange(-5, 6, dtype=image.dtype, device=image.device)
    w = torch.softmax(-(offset**2) / (2 * 1.5**2), dim=0)
    return F.conv2d(F.conv2d(image, w.view(1, 1, 11, 1)), w.view(1, 1, 1, 11))

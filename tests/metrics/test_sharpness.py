"""Edge sharpness and blur of clips with known edges."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from dcvsr.metrics.sharpness import BlurMetric, EdgeSharpness
from tests.comparing import rise


def sharpness(restored: Tensor, reference: Tensor, share: float = 0.1) -> float:
    metric = EdgeSharpness(share)
    metric.update(restored, reference)
    return float(metric.compute())


def stripes() -> Tensor:
    """Bright slanted stripes on gray, in 2 frames; a fifth of the pixels lie at an edge."""
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(64.0), indexing="ij")
    return torch.where(((x + 0.3 * y) % 20) < 8, 0.7, 0.3).expand(2, 3, 48, 64).clone()


def test_the_gradient_is_sobels():
    """Against Sobel's kernels applied in numpy over all pixels."""
    clip = torch.rand(2, 1, 3, 7, 9, generator=torch.Generator().manual_seed(1))
    rounded = (255 * clip).round().numpy() / 255
    sums = []
    for video in rounded:
        luma = np.tensordot([0.299, 0.587, 0.114], video[0], axes=1)
        padded = np.pad(luma, 1, mode="edge")
        kernel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
        dx, dy = ((windows * k).sum(axis=(2, 3)) for k in (kernel, kernel.T))
        sums.append(np.hypot(dx, dy).sum())
    assert sharpness(*clip, share=1) == pytest.approx(sums[0] / sums[1], rel=1e-4)


def test_the_reference_scores_one_and_blur_lowers_the_score():
    truth = stripes()
    blurred = [sharpness(gaussian_blur(truth, [9, 9], [sigma, sigma]), truth) for sigma in (0.5, 1, 2)]
    assert sharpness(truth, truth) == 1
    assert 1 > blurred[0] > blurred[1] > blurred[2] > 0


@settings(max_examples=20)
@given(st.floats(0.1, 1.2))
def test_sharpness_is_proportional_to_contrast(contrast):
    truth = stripes()
    assert sharpness(0.5 + contrast * (truth - 0.5), truth) == pytest.approx(contrast, abs=0.02)


def test_grain_in_flat_regions_is_not_sharpness():
    truth = torch.full((2, 3, 48, 64), 0.3)
    truth[..., 32:] = 0.7
    flat = torch.ones(64, dtype=torch.bool)
    flat[28:36] = False
    grainy = truth.clone()
    grainy[..., flat] += 0.1 * torch.randn(2, 1, 48, int(flat.sum()))
    assert sharpness(grainy, truth, share=0.03) == pytest.approx(1)


def test_a_reference_without_edges_scores_nan():
    assert np.isnan(sharpness(stripes(), torch.full((2, 3, 48, 64), 0.5)))


def blur(restored: Tensor, reference: Tensor) -> float:
    metric = BlurMetric()
    metric.update(restored, reference)
    return float(metric.compute())


def gradient(frame: np.ndarray) -> float:
    return np.mean([np.abs(np.diff(frame, axis=axis)).mean() for axis in (1, 2)]) + 0.1 / 255


def test_blur_follows_its_formula():
    truth = stripes()
    blurred = (gaussian_blur(truth, [9, 9], [2, 2]) * 255).round() / 255
    rounded = (truth * 255).round() / 255
    pairs = zip(blurred.double().numpy(), rounded.double().numpy(), strict=True)
    expected = np.mean([np.log(gradient(sharp) / gradient(soft)) for soft, sharp in pairs])
    assert blur(blurred, truth) == pytest.approx(expected, rel=1e-4)
    assert expected > 0.05


def test_blur_grows_with_sigma_and_is_zero_for_sharpening():
    truth = stripes()
    blurred = [blur(gaussian_blur(truth, [13, 13], [sigma, sigma]), truth) for sigma in (0.1, 2, 3, 4)]
    assert rise(blurred)
    assert blur(truth, truth) == blurred[0] == 0
    assert blur(0.5 + 2 * (truth - 0.5), truth) == 0


def test_sharp_frames_do_not_compensate_for_blurred_ones():
    truth = stripes()
    soft = gaussian_blur(truth, [13, 13], [3, 3])
    half = torch.cat([soft[:1], 0.5 + 2 * (truth[1:] - 0.5)])
    assert blur(half, truth) == pytest.approx(blur(soft, truth) / 2)


def test_blur_of_flat_frames_is_zero():
    flat = torch.full((2, 3, 48, 64), 0.5)
    assert blur(flat, flat) == 0

"""Filtering: OpenCV's and SciPy's, at any size of frame and kernel."""

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from dcvsr.degradation.blur_kernels import gaussian
from dcvsr.degradation.filtering import filtered, filtered_separably
from tests.degradation.making import clip, rng

SIZES = [(48, 33), (16, 16), (7, 64), (5, 4), (2, 9), (1, 1)]


def lopsided(rows: int, columns: int) -> Tensor:
    """No symmetry, so that a flip or a turn would show."""
    kernel = torch.rand(rows, columns, generator=rng(1), dtype=torch.float64)
    return kernel / kernel.sum()


def image(frame: Tensor) -> np.ndarray:
    return np.ascontiguousarray(frame.permute(1, 2, 0).numpy())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel", [(21, 21), (7, 7), (1, 1), (3, 9)])
def test_filtering_is_opencv_s_and_scipy_s(size: tuple[int, int], kernel: tuple[int, int]) -> None:
    frame, taps = clip(1, *size)[0], lopsided(*kernel)
    result = filtered(frame, taps)
    assert (result.shape, result.dtype) == (frame.shape, frame.dtype)
    opencv = cv2.filter2D(image(frame), -1, taps.float().numpy(), borderType=cv2.BORDER_REFLECT_101)
    np.testing.assert_allclose(image(result), opencv.reshape(*size, 3), atol=2e-6)
    if min(size) > 1:  # SciPy mirrors a single pixel to zero
        scipy = ndimage.correlate(frame.double().numpy(), taps[None].numpy(), mode="mirror")
        np.testing.assert_allclose(result.numpy(), scipy, atol=2e-6)


@pytest.mark.parametrize("size", SIZES)
def test_a_separable_kernel_is_filtered_as_its_product(size: tuple[int, int]) -> None:
    frame, taps = clip(1, *size)[0], lopsided(1, 51)[0]
    product = filtered(frame, taps[:, None] * taps)
    torch.testing.assert_close(filtered_separably(frame, taps), product, atol=2e-6, rtol=0)


@pytest.mark.parametrize("size", SIZES)
def test_a_flat_frame_stays_flat(size: tuple[int, int]) -> None:
    frame = torch.full((3, *size), 0.3)
    torch.testing.assert_close(filtered(frame, lopsided(21, 21)), frame)


def test_the_kernel_of_one_tap_at_its_centre_changes_nothing() -> None:
    kernel = torch.zeros(9, 9)
    kernel[4, 4] = 1
    frame = clip(1, 23, 31)[0]
    assert torch.equal(filtered(frame, kernel), frame)


@pytest.mark.parametrize("sigma", [0.2, 0.7, 1.6])
def test_taps_below_float32_s_resolution_may_be_left_out(sigma: float) -> None:
    frame, kernel = clip(1, 48, 33)[0], gaussian(21, sigma)
    exact = ndimage.correlate(frame.double().numpy(), kernel[None].numpy(), mode="mirror")
    np.testing.assert_allclose(filtered(frame, kernel).numpy(), exact, atol=2e-6)


def test_colours_are_filtered_apart() -> None:
    frame, kernel = clip(1, 23, 31)[0], lopsided(7, 7)
    apart = torch.cat([filtered(frame[[colour]], kernel) for colour in range(3)])
    torch.testing.assert_close(filtered(frame, kernel), apart)

"""Views against their definitions in numpy, and their laws."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dcvsr.evaluation.calibration.frame_conventions import (
    cropped,
    luma,
    matlab_gray,
    reduced,
    rounded_luma,
    rounded_video_luma,
    unstretched,
    video_luma,
)
from dcvsr.runtime.errors import UserError

NTSC = [[1, 0.956, 0.621], [1, -0.272, -0.647], [1, -1.106, 1.703]]
"""From luma and two chroma to RGB, as MATLAB has it."""


@pytest.fixture(scope="module")
def levels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 40, 50))


@pytest.mark.parametrize(
    ("view", "weights", "offset", "step"),
    [
        (luma, [0.299, 0.587, 0.114], 0, 1e-9),
        (rounded_luma, [0.299, 0.587, 0.114], 0, 1),
        (video_luma, [65.481 / 255, 128.553 / 255, 24.966 / 255], 16, 1e-9),
        (rounded_video_luma, [65.481 / 255, 128.553 / 255, 24.966 / 255], 16, 1),
        (matlab_gray, np.linalg.inv(NTSC)[0], 0, 1),
    ],
)
def test_luma_is_what_it_says(
    view: Callable[[Tensor], Tensor], weights: list[float], offset: int, step: float, levels: np.ndarray
) -> None:
    exact = np.einsum("chw,c->hw", levels, weights) + offset
    seen = 255 * view(torch.from_numpy(levels / 255).float()[None])[0, 0].numpy()
    expected = np.floor(np.round(exact / step, 6) + 0.5) * step
    np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-6)


def test_a_half_is_rounded_up() -> None:
    frame = torch.tensor([0, 0, 250]).view(1, 3, 1, 1) / 255  # luma 28.5
    assert 255 * rounded_luma(frame).item() == pytest.approx(29)


def test_a_border_is_cut_on_all_sides(levels: np.ndarray) -> None:
    frame = torch.from_numpy(levels)[None]
    assert torch.equal(cropped(frame, 4), frame[..., 4:36, 4:46])


@pytest.mark.parametrize(("height", "width"), [(8, 50), (50, 7)])
def test_a_border_that_leaves_nothing_is_refused(height: int, width: int) -> None:
    with pytest.raises(UserError, match=f"leaves nothing of .*{width}x{height}"):
        cropped(torch.zeros(1, 3, height, width), 4)


def test_reduction_is_pillow_s(levels: np.ndarray) -> None:
    """torchvision's of an image, which the authors of DISTS use, is Pillow's; it may round otherwise."""
    pixels = np.moveaxis(levels, 0, 2).astype(np.uint8)
    expected = np.asarray(Image.fromarray(pixels).resize((25, 20), Image.Resampling.BILINEAR)).astype(int)
    seen = 255 * reduced(torch.from_numpy(levels / 255).float()[None], 20)[0].permute(1, 2, 0).numpy()
    assert np.abs(seen - expected).max() <= 1


@pytest.mark.parametrize("side", [40, 41])
def test_nothing_is_upsampled(side: int, levels: np.ndarray) -> None:
    frame = torch.from_numpy(levels / 255)[None]
    assert reduced(frame, side) is frame


def test_stretching_to_plus_and_minus_one_leaves_what_was_not_stretched(levels: np.ndarray) -> None:
    frame = torch.from_numpy(levels / 255)
    torch.testing.assert_close(2 * unstretched(frame) - 1, frame)

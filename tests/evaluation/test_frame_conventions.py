"""Frame preprocessing against its definitions in numpy."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dcvsr.evaluation.calibration.frame_conventions import (
    cropped,
    downsampled,
    luma,
    matlab_gray,
    rounded_luma,
    rounded_video_luma,
    unstretched,
    video_luma,
)
from dcvsr.runtime.errors import UserError

NTSC = [[1, 0.956, 0.621], [1, -0.272, -0.647], [1, -1.106, 1.703]]
"""MATLAB's matrix from luma and two chroma to RGB."""


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
def test_luma_follows_its_definition(
    view: Callable[[Tensor], Tensor], weights: list[float], offset: int, step: float, levels: np.ndarray
) -> None:
    exact = np.einsum("chw,c->hw", levels, weights) + offset
    seen = 255 * view(torch.from_numpy(levels / 255).float()[None])[0, 0].numpy()
    expected = np.floor(np.round(exact / step, 6) + 0.5) * step
    np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-6)


def test_halves_are_rounded_up() -> None:
    frame = torch.tensor([0, 0, 250]).view(1, 3, 1, 1) / 255  # luma 28.5
    assert 255 * rounded_luma(frame).item() == pytest.approx(29)


def test_cropping_removes_the_border_on_all_sides(levels: np.ndarray) -> None:
    frame = torch.from_numpy(levels)[None]
    assert torch.equal(cropped(frame, 4), frame[..., 4:36, 4:46])


@pytest.mark.parametrize(("height", "width"), [(8, 50), (50, 7)])
def test_a_border_that_leaves_no_pixels_is_rejected(height: int, width: int) -> None:
    with pytest.raises(UserError, match=f"leaves nothing of .*{width}x{height}"):
        cropped(torch.zeros(1, 3, height, width), 4)


def test_downsampling_matches_pillow(levels: np.ndarray) -> None:
    """The authors of DISTS resize with torchvision, which uses Pillow on images; rounding may differ by 1."""
    pixels = np.moveaxis(levels, 0, 2).astype(np.uint8)
    expected = np.asarray(Image.fromarray(pixels).resize((25, 20), Image.Resampling.BILINEAR)).astype(int)
    seen = 255 * downsampled(torch.from_numpy(levels / 255).float()[None], 20)[0].permute(1, 2, 0).numpy()
    assert np.abs(seen - expected).max() <= 1


@pytest.mark.parametrize("side", [40, 41])
def test_small_frames_are_not_upsampled(side: int, levels: np.ndarray) -> None:
    frame = torch.from_numpy(levels / 255)[None]
    assert downsampled(frame, side) is frame


def test_scaling_to_minus_one_and_one_inverts_unstretched(levels: np.ndarray) -> None:
    frame = torch.from_numpy(levels / 255)
    torch.testing.assert_close(2 * unstretched(frame) - 1, frame)

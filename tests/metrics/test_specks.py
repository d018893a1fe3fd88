"""Specks against planted ones, and against what is none."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from dcvsr.metrics.specks import Specks, distance_to_median
from dcvsr.runtime.errors import UserError

SMOOTH_PIXELS = (64 - 6) * (96 - 6)


def specks(restored: Tensor, reference: Tensor) -> float:
    metric = Specks(speck=8, smooth=4)
    metric.update(restored, reference)
    return float(metric.compute())


def ramp() -> Tensor:
    """Return a smooth clip: luma rises two levels a pixel from left to right."""
    return (torch.arange(96) * 2 / 255).expand(3, 3, 64, 96).clone()


def grain(levels: float, seed: int = 0) -> Tensor:
    return levels / 255 * torch.randn(3, 1, 64, 96, generator=torch.Generator().manual_seed(seed))


def planted(clip: Tensor, levels: float, frames: int = 3) -> Tensor:
    """Return the clip with pixels off at 6 places that are smooth and one at the border, in each frame."""
    clip = clip.clone()
    for y, x in [(5, 5), (10, 40), (30, 30), (31, 60), (50, 80), (60, 92), (0, 20)]:
        clip[:frames, :, y, x] += levels / 255
    return clip


@pytest.mark.parametrize("levels", [12, -12, 60])
def test_each_planted_speck_counts(levels: float) -> None:
    assert specks(planted(ramp(), levels), ramp()) == pytest.approx(1e4 * 6 / SMOOTH_PIXELS)


def test_the_share_is_of_all_frames() -> None:
    assert specks(planted(ramp(), 60, frames=1), ramp()) == pytest.approx(1e4 * 2 / SMOOTH_PIXELS)


def test_pixels_seven_levels_off_are_no_specks() -> None:
    assert specks(planted(ramp(), 7), ramp()) == 0


def test_neither_blur_nor_the_clip_itself_has_specks() -> None:
    assert specks(gaussian_blur(planted(ramp(), 60), [15, 15], [4.0, 4.0]), ramp()) == 0
    assert specks(ramp(), ramp()) == 0


def test_grain_of_the_reference_does_not_count() -> None:
    half = ramp()
    half[..., 48:] += grain(20)[..., 48:]
    half = half.clamp(0, 1)
    assert specks(half, half) == 0
    assert math.isnan(specks(half[..., 50:], half[..., 50:]))


def test_grain_on_a_smooth_reference_is_specks() -> None:
    assert specks((ramp() + grain(2)).clamp(0, 1), ramp()) < 20
    assert specks((ramp() + grain(8)).clamp(0, 1), ramp()) > 1000


CHANGES = [lambda c: c.flip(2), lambda c: c.flip(3), lambda c: c.mT, lambda c: 1 - c]


@pytest.mark.parametrize("change", CHANGES)
def test_flips_and_negatives_have_as_many(change) -> None:
    restored, reference = planted(ramp() + grain(4), 30).clamp(0, 1), ramp()
    assert specks(change(restored), change(reference)) == pytest.approx(specks(restored, reference))


def test_the_distance_equals_numpys() -> None:
    clip = torch.rand(2, 3, 9, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    r, g, b = (255 * clip.numpy()).transpose(1, 0, 2, 3)
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    windows = np.lib.stride_tricks.sliding_window_view(luma, (3, 3), axis=(1, 2))
    expected = np.abs(luma[:, 1:-1, 1:-1] - np.median(windows, axis=(-2, -1)))
    np.testing.assert_allclose(distance_to_median(clip)[:, 0].numpy(), expected, atol=1e-3)


def test_pictures_without_inner_pixels_are_refused() -> None:
    with pytest.raises(UserError, match=r"7"):
        specks(ramp()[..., :6], ramp()[..., :6])

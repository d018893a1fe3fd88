"""Shifts between a result and its truth: found where there are, and not where there are none."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from dcvsr.data.synthetic import Translation
from dcvsr.interpolation import upsample
from dcvsr.metrics.alignment import ALLOWED, shift
from dcvsr.pixels import to_unit


@pytest.fixture(scope="module")
def wide() -> Tensor:
    return to_unit(Translation(seed=0, frames=3, height=112, width=144, dx=0.7, dy=-0.3).read(0, 3))


@pytest.mark.parametrize("place", [(0, 0), (1, 0), (0, -1), (-3, 2), (5, 6)])
def test_whole_pixels_are_found(wide: Tensor, place: tuple[int, int]) -> None:
    x, y = place
    moved, still = wide[..., 8 - y : 104 - y, 8 - x : 136 - x], wide[..., 8:104, 8:136]
    assert shift(moved, still) == pytest.approx(place, abs=0.15)
    assert shift(still, moved) == pytest.approx((-x, -y), abs=0.15)


def test_half_pixels_are_found(wide: Tensor) -> None:
    still = avg_pool2d(wide, 2)
    moved = avg_pool2d(wide[..., 1:-1], 2)
    assert shift(moved, still[..., :-1])[0] == pytest.approx(-0.5, abs=0.15)


def test_an_enlargement_about_pixel_centres_is_no_shift_and_one_about_corners_is(wide: Tensor) -> None:
    lr = avg_pool2d(wide, 4)
    assert max(map(abs, shift(upsample(lr), wide))) < ALLOWED
    corners = torch.roll(upsample(lr), (-1, -2), dims=(-2, -1))
    assert shift(corners, wide) == pytest.approx((-2, -1), abs=0.2)


def test_noise_and_gain_are_no_shift(wide: Tensor) -> None:
    noisy = 0.8 * wide + 0.05 * torch.randn(wide.shape, generator=torch.Generator().manual_seed(0))
    assert max(map(abs, shift(noisy, wide))) < 0.1


def test_frames_without_structure_tell_nothing(wide: Tensor) -> None:
    flat = torch.full_like(wide, 0.3)
    assert shift(flat, wide) == (0, 0)
    assert shift(torch.cat([flat, wide]), torch.cat([wide, wide])) == pytest.approx((0, 0), abs=0.01)

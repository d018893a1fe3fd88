"""Backward warping by whole and fractional pixels, and the visibility mask."""

import pytest
import torch
from torch import Tensor

from dcvsr.data.synthetic import Occlusion, Translation
from dcvsr.imaging import to_unit
from dcvsr.metrics.warping import visible, warp


def uniform(dx: float, dy: float, height: int = 12, width: int = 16) -> Tensor:
    return torch.tensor([float(dx), float(dy)])[None, :, None, None].expand(1, 2, height, width)


@pytest.fixture
def image() -> Tensor:
    return torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(0))


def test_zero_flow_changes_nothing(image: Tensor) -> None:
    torch.testing.assert_close(warp(image, uniform(0, 0)), image, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("dx", "dy"), [(1, 0), (0, 2), (-3, 1)])
def test_warping_samples_at_the_flows_target(image: Tensor, dx: int, dy: int) -> None:
    warped = warp(image, uniform(dx, dy))
    for y in range(3, 9):
        for x in range(4, 12):
            torch.testing.assert_close(warped[..., y, x], image[..., y + dy, x + dx], atol=1e-5, rtol=0)


def test_fractional_flow_is_interpolated(image: Tensor) -> None:
    left, right = image[..., :-1], image[..., 1:]
    expected = 0.75 * left + 0.25 * right
    torch.testing.assert_close(warp(image, uniform(0.25, 0))[..., :-1], expected, atol=1e-5, rtol=0)


def test_the_border_is_repeated(image: Tensor) -> None:
    torch.testing.assert_close(warp(image, uniform(99, 0)), image[..., -1:].expand_as(image))


def test_warping_along_its_flow_inverts_a_translation() -> None:
    clip = Translation(seed=0, frames=2, height=40, width=48, dx=3, dy=-2)
    first, second = to_unit(clip.read(0, 2)).split(1)
    seen = visible(clip.flow(0)[None], -clip.flow(0)[None])
    assert torch.equal(seen[0], clip.visible(0))
    assert (warp(second, clip.flow(0)[None]) - first).abs().amax(dim=1)[seen].max() < 1.5 / 255


def test_pixels_that_leave_the_frame_are_not_visible() -> None:
    seen = visible(uniform(3, 0), uniform(-3, 0))
    assert seen[..., :-3].all()
    assert not seen[..., -3:].any()
    assert visible(uniform(0, 0), uniform(0, 0)).all()


@pytest.mark.parametrize(("back", "consistent"), [(-2.0, True), (-1.3, True), (-1.0, False), (2.0, False)])
def test_visible_pixels_need_consistent_flows(back: float, consistent: bool) -> None:
    """Consistent if (2 + back)^2 <= 0.01 (4 + back^2) + 0.5."""
    assert bool(visible(uniform(2, 0), uniform(back, 0))[0, 6, 4]) == consistent


def test_pixels_that_become_occluded_are_not_visible() -> None:
    clip = Occlusion(seed=3, frames=3, height=64, width=80, dx=0, dy=0, front_dx=6, front_dy=0)
    seen = visible(clip.flow(0)[None], -clip.flow(1)[None])[0]
    hidden = (clip.flow(0)[0] < 3) & (clip.flow(1)[0] > 3)
    assert hidden.sum() > 400
    assert not seen[hidden].any()
    assert seen[clip.visible(0)].all()

"""Matching patches of frames whose correspondence is known."""

import pytest
import torch
from torch import Tensor

from dcvsr.data.synthetic import Translation, Wallpaper
from dcvsr.metrics.correspondence import Correspondence, detail, downsampled, patches
from dcvsr.video.io import to_unit

ALIKE = Correspondence(patch=32, similar=0.9, contrast=0.01)


def anywhere(dy: Tensor, dx: Tensor) -> Tensor:
    return torch.ones_like(dy, dtype=torch.bool)


def elsewhere(dy: Tensor, dx: Tensor) -> Tensor:
    return (dy.abs() >= 32) | (dx.abs() >= 32)


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (4, -8), (3, 5), (-13, 2)])
def test_motion_by_whole_pixels_is_matched_exactly(dx: int, dy: int) -> None:
    before, after = to_unit(Translation(1, 2, 128, 160, dx, dy).read(0, 2))
    here, there = ALIKE(before, after, anywhere)
    assert len(here) >= 10
    assert torch.equal(there - here, torch.tensor([dy, dx]).expand_as(here))


def test_matching_patches_have_equal_pixels() -> None:
    frame = to_unit(Wallpaper(1, 1, 128, 160, 0, 0, 40).read(0, 1))[0]
    here, there = ALIKE(frame, frame, elsewhere)
    assert len(here) > 0
    a, b = (patches(frame, at, 32) for at in (here, there))
    assert (a - b).abs().max() < 3 / 255


def test_matches_of_a_pattern_are_whole_periods_apart_and_allowed() -> None:
    frame = to_unit(Wallpaper(1, 1, 128, 160, 0, 0, 40).read(0, 1))[0]
    here, there = ALIKE(frame, frame, elsewhere)
    assert len(here) > 0
    assert not ((there - here) % 40).any()
    assert elsewhere(*(there - here).T).all()


def test_unrelated_images_have_no_matches() -> None:
    one, other = (to_unit(Translation(seed, 1, 128, 160, 0, 0).read(0, 1))[0] for seed in (1, 2))
    assert len(ALIKE(one, other, anywhere)[0]) == 0


@pytest.mark.parametrize("frame", [torch.full((3, 64, 64), 0.5), torch.arange(5376).view(3, 28, 64) / 5376])
def test_flat_frames_and_frames_smaller_than_a_patch_have_no_matches(frame: Tensor) -> None:
    here, there = ALIKE(frame, frame, anywhere)
    assert here.shape == there.shape == (0, 2)


def test_patches_below_the_contrast_have_no_matches() -> None:
    frame = to_unit(Translation(1, 1, 128, 160, 0, 0).read(0, 1))[0]
    at, _ = ALIKE(frame, frame, anywhere)
    strength = patches(detail(frame), at, 32).square().mean((1, 2, 3)).sqrt()
    assert strength.min() >= 0.01
    bold = Correspondence(32, 0.9, float(strength.median()))
    assert len(bold(frame, frame, anywhere)[0]) == int((strength >= bold.contrast).sum()) < len(at)


def test_detail_keeps_only_frequencies_that_lr_cannot_hold() -> None:
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    slow, fast = (0.5 + 0.3 * torch.cos(2 * torch.pi * cycles * (x + y))[None] for cycles in (1 / 64, 0.3))
    inside = slice(12, -12)
    assert detail(slow)[:, inside, inside].abs().max() < 0.01
    assert torch.allclose(detail(fast)[:, inside, inside], fast[:, inside, inside] - 0.5, atol=0.03)
    assert downsampled(slow.expand(3, -1, -1)).shape == (1, 16, 16)

"""Disagreement of repeated textures: against a formula in float64, and on known defects."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from dcvsr.data.synthetic import Return, Translation, Wallpaper
from dcvsr.metrics.clipwise import Clipwise
from dcvsr.metrics.correspondence import Correspondence, detail
from dcvsr.metrics.repeated_textures import FarTextures, Reappearance
from dcvsr.metrics.seams import TileLines
from dcvsr.tiling.grid import TileGrid
from dcvsr.video.io import to_unit

LINES = TileLines(TileGrid(12, 4, 0, "overlap"), 1, 4)
MATCHER = Correspondence(32, 0.9, 0.01)
FAR, REAPPEARANCE = FarTextures(LINES, MATCHER, 8), Reappearance(LINES, MATCHER, 8)

REFERENCE = to_unit(Wallpaper(1, 9, 96, 144, 0, 0, 44).read(0, 9))
RETURNING = to_unit(Return(2, 24, 96, 96, 1.5).read(0, 24))


def value(metric: Clipwise, restored: Tensor, reference: Tensor) -> float:
    metric.reset()
    metric.update(restored, reference)
    return float(metric.compute())


def noise(shape: torch.Size, seed: int) -> Tensor:
    return 0.04 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_far_textures_follow_the_formula() -> None:
    """In static frames 0 and 8, each patch of 32 pixels pairs with the one two periods to its side."""
    restored = ((REFERENCE * 0.8 + 0.1 + noise(REFERENCE.shape, 0)).clamp(0, 1) * 255).round() / 255
    sums = np.zeros((2, 2))
    for total, clip in zip(sums, (restored, REFERENCE), strict=True):
        for frame in (clip[0], clip[8]):
            fine = detail(frame)[0].double().numpy()
            for here, there in _pairs(REFERENCE[0]):
                a, b = (fine[y : y + 32, x : x + 32] for y, x in (here, there))
                total[:] += 2 * (a * b).sum(), (a**2).sum() + (b**2).sum()
    (product, energy), (reference_product, reference_energy) = sums
    expected = 1 - (product / energy) / (reference_product / reference_energy)
    assert 0.1 < expected < 1
    assert value(FAR, restored, REFERENCE) == pytest.approx(expected, rel=1e-3)


def _pairs(frame: Tensor) -> list[list[list[int]]]:
    here, there = MATCHER(frame, frame, FAR.comparable)
    assert set(map(tuple, (there - here).abs().tolist())) == {(0, 88)}
    return [list(pair) for pair in zip(here.tolist(), there.tolist(), strict=True)]


@pytest.mark.parametrize(("metric", "reference"), [(FAR, REFERENCE), (REAPPEARANCE, RETURNING)])
def test_stronger_detail_that_agrees_scores_zero(metric: Clipwise, reference: Tensor) -> None:
    sharper = reference + torch.stack([detail(frame) for frame in reference])
    assert value(metric, sharper, reference) < 0.03


@pytest.mark.parametrize(("metric", "reference"), [(FAR, REFERENCE), (REAPPEARANCE, RETURNING)])
def test_weaker_detail_that_agrees_scores_zero(metric: Clipwise, reference: Tensor) -> None:
    weaker = reference - 0.5 * torch.stack([detail(frame) for frame in reference])
    assert value(metric, weaker, reference) < 0.05


@pytest.mark.parametrize(("metric", "reference"), [(FAR, REFERENCE), (REAPPEARANCE, RETURNING)])
def test_unrelated_detail_of_full_strength_scores_one(metric: Clipwise, reference: Tensor) -> None:
    coarse = gaussian_blur(reference, [25, 25], [4, 4])
    assert value(metric, coarse + noise(reference.shape, 1), reference) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("metric", "reference"), [(FAR, REFERENCE), (REAPPEARANCE, RETURNING)])
def test_differences_that_lr_holds_do_not_count(metric: Clipwise, reference: Tensor) -> None:
    by_frame_and_row = (
        torch.linspace(0, 0.2, 96)[:, None] * torch.linspace(0, 1, len(reference))[:, None, None, None]
    )
    assert value(metric, 0.7 * reference + by_frame_and_row, 0.7 * reference) < 0.01


def test_changed_detail_in_later_frames_raises_reappearance_but_not_far_textures() -> None:
    fine = torch.stack([detail(frame) for frame in REFERENCE])
    coarse, moved = REFERENCE - fine, fine.roll(20, 2)
    changed = coarse + torch.cat([fine[:4], moved[4:]])
    assert value(FAR, changed, REFERENCE) < 0.05
    assert value(REAPPEARANCE, changed, REFERENCE) > 0.5


def test_reappearance_detects_detail_that_changes_while_out_of_view() -> None:
    fine = torch.stack([detail(frame) for frame in RETURNING])
    swapped = torch.cat([RETURNING[:12], (RETURNING - fine + fine.flip(2))[12:]])
    assert value(REAPPEARANCE, swapped, RETURNING) > 0.5


def test_references_without_repeated_texture_score_nan() -> None:
    once = to_unit(Translation(3, 9, 96, 144, 12, 0).read(0, 9))
    assert np.isnan(value(FAR, once, once))
    short = RETURNING[:4]
    assert np.isnan(value(REAPPEARANCE, short, short))

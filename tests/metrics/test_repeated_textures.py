"""Textures of far places against a formula in float64, and what each of the two scores must see."""

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
from dcvsr.tiling.grid import TileGrid, overlapping
from dcvsr.video.io import to_unit

LINES = TileLines(TileGrid(12, 4, 0, overlapping), 1, 4)
ALIKE = Correspondence(32, 0.9, 0.01)
FAR, AGAIN = FarTextures(LINES, ALIKE, 8), Reappearance(LINES, ALIKE, 8)

REFERENCE = to_unit(Wallpaper(1, 9, 96, 144, 0, 0, 44).read(0, 9))
COMING_BACK = to_unit(Return(2, 24, 96, 96, 1.5).read(0, 24))


def value(metric: Clipwise, restored: Tensor, reference: Tensor) -> float:
    metric.reset()
    metric.update(restored, reference)
    return float(metric.compute())


def noise(shape: torch.Size, seed: int) -> Tensor:
    return 0.04 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_far_textures_are_the_formula() -> None:
    """Still frames 0 and 8: every patch of 32 pixels, with the one two periods to its side."""
    restored = ((REFERENCE * 0.8 + 0.1 + noise(REFERENCE.shape, 0)).clamp(0, 1) * 255).round() / 255
    sums = np.zeros((2, 2))
    for total, clip in zip(sums, (restored, REFERENCE), strict=True):
        for frame in (clip[0], clip[8]):
            fine = detail(frame)[0].double().numpy()
            for here, there in _pairs(REFERENCE[0]):
                a, b = (fine[y : y + 32, x : x + 32] for y, x in (here, there))
                total[:] += 2 * (a * b).sum(), (a**2).sum() + (b**2).sum()
    (common, both), (truth, truth_both) = sums
    expected = 1 - (common / both) / (truth / truth_both)
    assert 0.1 < expected < 1
    assert value(FAR, restored, REFERENCE) == pytest.approx(expected, rel=1e-3)


def _pairs(frame: Tensor) -> list[list[list[int]]]:
    here, there = ALIKE(frame, frame, FAR.apart)
    assert set(map(tuple, (there - here).abs().tolist())) == {(0, 88)}
    return [list(pair) for pair in zip(here.tolist(), there.tolist(), strict=True)]


@pytest.mark.parametrize(("metric", "reference"), [(FAR, REFERENCE), (AGAIN, COMING_BACK)])
def test_sharper_is_as_good_as_the_reference_and_nothing_is_better(
    metric: Clipwise, reference: Tensor
) -> None:
    sharper = reference + torch.stack([detail(frame) for frame in reference])
    assert value(metric, sharper, reference) < 0.03


@pytest.mark.parametrize(("metric", "reference"), [(FAR, REFERENCE), (AGAIN, COMING_BACK)])
def test_weaker_detail_agrees_as_well(metric: Clipwise, reference: Tensor) -> None:
    weaker = reference - 0.5 * torch.stack([detail(frame) for frame in reference])
    assert value(metric, weaker, reference) < 0.05


@pytest.mark.parametrize(("metric", "reference"), [(FAR, REFERENCE), (AGAIN, COMING_BACK)])
def test_unrelated_detail_of_full_strength_scores_one(metric: Clipwise, reference: Tensor) -> None:
    coarse = gaussian_blur(reference, [25, 25], [4, 4])
    assert value(metric, coarse + noise(reference.shape, 1), reference) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("metric", "reference"), [(FAR, REFERENCE), (AGAIN, COMING_BACK)])
def test_what_lr_holds_does_not_count(metric: Clipwise, reference: Tensor) -> None:
    by_frame_and_row = (
        torch.linspace(0, 0.2, 96)[:, None] * torch.linspace(0, 1, len(reference))[:, None, None, None]
    )
    assert value(metric, 0.7 * reference + by_frame_and_row, 0.7 * reference) < 0.01


def test_far_textures_do_not_look_across_frames_nor_reappearance_across_tiles_alone() -> None:
    fine = torch.stack([detail(frame) for frame in REFERENCE])
    coarse, alone = REFERENCE - fine, fine.roll(20, 2)
    other_later = coarse + torch.cat([fine[:4], alone[4:]])
    assert value(FAR, other_later, REFERENCE) < 0.05
    assert value(AGAIN, other_later, REFERENCE) > 0.5


def test_detail_that_changes_while_out_of_sight_is_seen_on_return() -> None:
    fine = torch.stack([detail(frame) for frame in COMING_BACK])
    swapped = torch.cat([COMING_BACK[:12], (COMING_BACK - fine + fine.flip(2))[12:]])
    assert value(AGAIN, swapped, COMING_BACK) > 0.5


def test_where_the_reference_shows_nothing_twice_nothing_is_measured() -> None:
    once = to_unit(Translation(3, 9, 96, 144, 12, 0).read(0, 9))
    assert np.isnan(value(FAR, once, once))
    short = COMING_BACK[:4]
    assert np.isnan(value(AGAIN, short, short))

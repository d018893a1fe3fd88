"""Typical faults of restored clips, each detected by the metrics meant for it and by no others."""

import math
from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor
from torchmetrics import Metric

from dcvsr.data.synthetic import Translation
from dcvsr.imaging import to_unit
from dcvsr.metrics.alignment import shift
from dcvsr.metrics.fidelity import CAP, PSNR, PSNRY, SSIM, SSIMRGB
from dcvsr.metrics.flow import DIS, Farneback
from dcvsr.metrics.perceptual import DISTS, LPIPS, LPIPSVGG
from dcvsr.metrics.temporal import TLP, TOF, TOFFarneback, WarpingError
from dcvsr.runtime.errors import UserError

PERFECT: dict[Callable[[], Metric], float] = {
    PSNR: CAP,
    PSNRY: CAP,
    SSIM: 1,
    SSIMRGB: 1,
    LPIPS: 0,
    LPIPSVGG: 0,
    DISTS: 0,
    TLP: 0,
    lambda: TOF(DIS(preset=2)): 0,
    lambda: TOFFarneback(Farneback(0.5, 3, 15, 3, 5, 1.2, 0)): 0,
}
PSNR_Y, STRUCTURE, PERCEPTION, CHANGE, MOTION = PSNRY, SSIM, LPIPS, TLP, list(PERFECT)[-2]
FRAMEWISE = (PSNR, PSNR_Y, SSIM, SSIMRGB, LPIPS, LPIPSVGG, DISTS)


@cache
def clip() -> Tensor:
    """Translating texture: eight frames of 96x96 that move by (1.5, 0.5) pixels each."""
    return to_unit(Translation(seed=1, frames=8, height=96, width=96, dx=1.5, dy=0.5).read(0, 8))


@cache
def built(kind: Callable[[], Metric]) -> Metric:
    try:
        return kind()
    except UserError as error:
        pytest.skip(f"no backbone: {error}")


def value(kind: Callable[[], Metric], restored: Tensor, reference: Tensor) -> float:
    """The score, asserted not to be NaN."""
    metric = built(kind)
    metric.reset()
    metric.update(restored, reference)
    score = float(metric.compute())
    assert not math.isnan(score)
    return score


@pytest.mark.parametrize("kind", PERFECT)
def test_a_clip_scores_perfectly_against_itself(kind: Callable[[], Metric]) -> None:
    assert value(kind, clip(), clip()) == pytest.approx(PERFECT[kind], abs=1e-6)


def test_motion_metrics_detect_reversed_frames() -> None:
    """Reversal changes tOF by 2 (1.5 + 0.5) pixels, but each frame still looks natural."""
    assert value(MOTION, clip().flip(0), clip()) == pytest.approx(4, rel=0.1)
    assert value(CHANGE, clip().flip(0), clip()) < 1


@pytest.mark.parametrize("kind", [MOTION, CHANGE, STRUCTURE])
def test_a_dropped_and_repeated_frame_is_detected(kind: Callable[[], Metric]) -> None:
    stuttering = clip()[[0, 1, 2, 2, 4, 5, 6, 7]]
    assert abs(value(kind, stuttering, clip()) - PERFECT[kind]) > 0.01


def test_a_shift_by_one_pixel_changes_fidelity_and_alignment_but_not_motion() -> None:
    shifted = clip().roll(1, dims=-1)
    assert shift(shifted, clip()) == pytest.approx((1, 0), abs=0.1)
    assert value(PSNR, shifted, clip()) < 30
    assert value(STRUCTURE, shifted, clip()) < 0.9
    assert value(MOTION, shifted, clip()) < 0.2


def test_a_gain_of_two_percent_changes_psnr_by_its_formula() -> None:
    darker = 0.98 * clip()
    expected = [10 * math.log10(1 / (0.02 * frame.double()).square().mean()) for frame in clip()]
    assert value(PSNR, darker, clip()) == pytest.approx(sum(expected) / len(expected), abs=0.1)  # eight bits
    assert value(PSNR_Y, darker, clip()) < 50
    assert value(MOTION, darker, clip()) < 0.1
    assert value(PERCEPTION, darker, clip()) < 0.01


@pytest.mark.parametrize("kind", FRAMEWISE)
def test_frame_metrics_do_not_depend_on_how_frames_are_batched(kind: Callable[[], Metric]) -> None:
    restored = clip()[:4].roll(1, dims=-2)
    metric = built(kind)
    metric.reset()
    for start, stop in ((0, 1), (1, 4)):
        metric.update(restored[start:stop], clip()[start:stop])
    assert float(metric.compute()) == pytest.approx(value(kind, restored, clip()[:4]), rel=1e-5)


@pytest.mark.parametrize("kind", [CHANGE, MOTION])
def test_pair_metrics_do_not_depend_on_how_pairs_are_batched(kind: Callable[[], Metric]) -> None:
    restored = clip().flip(0)
    metric = built(kind)
    metric.reset()
    for start, stop in ((0, 4), (3, 8)):
        metric.update(restored[start:stop], clip()[start:stop])
    assert float(metric.compute()) == pytest.approx(value(kind, restored, clip()), rel=1e-5)


@pytest.mark.parametrize("kind", [*PERFECT, lambda: WarpingError(DIS(preset=2))])
def test_constant_frames_have_finite_scores(kind: Callable[[], Metric]) -> None:
    gray, white = torch.full((6, 3, 64, 64), 0.5), torch.ones(6, 3, 64, 64)
    assert value(kind, gray, gray) == pytest.approx(PERFECT.get(kind, 0), abs=0.01)  # DISTS rounds to 0.007
    assert math.isfinite(value(kind, white, gray))

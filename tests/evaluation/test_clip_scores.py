"""Scores of clips: what a metric refuses is empty, what differs from its truth is an error."""

import math

import pytest
import torch

from dcvsr.evaluation.clip_scores import means, over_seeds, scored, unscored
from dcvsr.metrics.fidelity import CAP, PSNR, SSIM, PooledPSNR
from dcvsr.runtime.errors import UserError

CLIP = torch.rand(2, 3, 8, 16, generator=torch.Generator().manual_seed(0))


def test_a_metric_that_refuses_a_clip_leaves_the_others_their_scores() -> None:
    scores, refused = scored("a", CLIP, CLIP.flip(0), {"ssim": SSIM(), "psnr": PSNR()})
    assert scores["ssim"] is None
    assert scores["psnr"] == pytest.approx(PSNR()(CLIP, CLIP.flip(0)).item())
    assert refused == {"ssim": "SSIM needs 11x11 pixels, got 2 frames of 16x8 in 3 channels"}


def test_a_clip_with_one_frame_equal_to_its_reference_has_a_finite_psnr() -> None:
    restored = torch.cat([CLIP[:1], CLIP[:1]])
    scores, refused = scored("a", restored, CLIP, {"psnr": PSNR(), "psnr_pooled": PooledPSNR()})
    error = (restored - CLIP).square().mean().item()
    assert scores["psnr_pooled"] == pytest.approx(-10 * math.log10(error), abs=0.05)
    assert scores["psnr"] == pytest.approx((CAP - 10 * math.log10(2 * error)) / 2, abs=0.05)
    assert refused == {}


def test_an_infinite_or_undefined_score_has_no_number() -> None:
    class Odd(PSNR):
        def compute(self) -> torch.Tensor:
            return torch.tensor(self.number)

    for number in (float("inf"), float("nan")):
        Odd.number = number
        assert scored("a", CLIP, CLIP, {"odd": Odd()}) == ({"odd": None}, {})


def test_clips_that_a_mean_leaves_out_are_named() -> None:
    scores = {"a": {"psnr": 30.0, "niqe": None}, "b": {"psnr": 31.0}, "c": {"psnr": 32.0, "niqe": 4.0}}
    assert unscored(scores) == {"niqe": ["a", "b"]}
    assert unscored({"a": {"psnr": 30.0}}) == {}


@pytest.mark.parametrize("hr", [CLIP[:1], CLIP[..., :12], CLIP[..., 1:, :]])
def test_nothing_is_cropped_to_fit(hr: torch.Tensor) -> None:
    with pytest.raises(UserError, match="nothing is cropped"):
        scored("a", CLIP, hr, {})


def test_a_mean_over_seeds_needs_them_all() -> None:
    seeds = [{"a": {"psnr": 30.0, "niqe": 4.0}}, {"a": {"psnr": 32.0, "niqe": None}}]
    assert over_seeds(seeds) == {"a": {"psnr": 31.0, "niqe": None}}


def test_a_reading_is_as_good_as_its_metric() -> None:
    scores = {"a": {"psnr": 30.0, "psnr_y": 31.0}, "b": {"psnr": None, "psnr_y": 33.0}}
    found = means(scores, {"psnr": PSNR()})
    assert found["psnr"] == {"mean": 30.0, "higher_is_better": True}
    assert found["psnr_y"] == {"mean": 32.0, "higher_is_better": True}


def test_a_check_that_fails_costs_no_score(monkeypatch, caplog) -> None:
    def failing(*clips: torch.Tensor) -> tuple[float, float]:
        raise ValueError("Shape of array too small")

    monkeypatch.setattr("dcvsr.evaluation.clip_scores.shift", failing)
    scores, _ = scored("a", CLIP, CLIP.flip(0), {"psnr": PSNR()})
    assert scores["psnr"] is not None
    assert "a: the check for a shift failed: ValueError: Shape of array too small" in caplog.text

"""Scores of clips, their means, and clips that metrics reject."""

import math

import pytest
import torch

from dcvsr.evaluation.clip_scores import mean_over_seeds, means, score_clip, unscored
from dcvsr.metrics.fidelity import CAP, PSNR, SSIM, PooledPSNR
from dcvsr.runtime.errors import UserError

CLIP = torch.rand(2, 3, 8, 16, generator=torch.Generator().manual_seed(0))


def test_a_metric_that_rejects_a_clip_does_not_affect_the_others() -> None:
    scores, refused = score_clip("a", CLIP, CLIP.flip(0), {"ssim": SSIM(), "psnr": PSNR()})
    assert scores["ssim"] is None
    assert scores["psnr"] == pytest.approx(PSNR()(CLIP, CLIP.flip(0)).item())
    assert refused == {"ssim": "SSIM needs 11x11 pixels, got 2 frames of 16x8 in 3 channels"}


def test_a_clip_with_one_frame_equal_to_its_reference_has_a_finite_psnr() -> None:
    restored = torch.cat([CLIP[:1], CLIP[:1]])
    scores, refused = score_clip("a", restored, CLIP, {"psnr": PSNR(), "psnr_pooled": PooledPSNR()})
    error = (restored - CLIP).square().mean().item()
    assert scores["psnr_pooled"] == pytest.approx(-10 * math.log10(error), abs=0.05)
    assert scores["psnr"] == pytest.approx((CAP - 10 * math.log10(2 * error)) / 2, abs=0.05)
    assert refused == {}


def test_infinite_and_undefined_scores_are_none() -> None:
    class Odd(PSNR):
        def compute(self) -> torch.Tensor:
            return torch.tensor(self.number)

    for number in (float("inf"), float("nan")):
        Odd.number = number
        assert score_clip("a", CLIP, CLIP, {"odd": Odd()}) == ({"odd": None}, {})


def test_clips_without_a_score_are_listed() -> None:
    scores = {"a": {"psnr": 30.0, "niqe": None}, "b": {"psnr": 31.0}, "c": {"psnr": 32.0, "niqe": 4.0}}
    assert unscored(scores) == {"niqe": ["a", "b"]}
    assert unscored({"a": {"psnr": 30.0}}) == {}


@pytest.mark.parametrize("hr", [CLIP[:1], CLIP[..., :12], CLIP[..., 1:, :]])
def test_clips_that_differ_in_size_are_rejected(hr: torch.Tensor) -> None:
    with pytest.raises(UserError, match="nothing is cropped"):
        score_clip("a", CLIP, hr, {})


def test_the_mean_over_seeds_is_none_if_a_seed_has_no_score() -> None:
    seeds = [{"a": {"psnr": 30.0, "niqe": 4.0}}, {"a": {"psnr": 32.0, "niqe": None}}]
    assert mean_over_seeds(seeds) == {"a": {"psnr": 31.0, "niqe": None}}


def test_a_reading_has_the_direction_of_its_metric() -> None:
    scores = {"a": {"psnr": 30.0, "psnr_y": 31.0}, "b": {"psnr": None, "psnr_y": 33.0}}
    found = means(scores, {"psnr": PSNR()})
    assert found["psnr"] == {"mean": 30.0, "higher_is_better": True}
    assert found["psnr_y"] == {"mean": 32.0, "higher_is_better": True}


def test_scores_survive_an_error_in_the_shift_check(monkeypatch, caplog) -> None:
    def failing(*clips: torch.Tensor) -> tuple[float, float]:
        raise ValueError("Shape of array too small")

    monkeypatch.setattr("dcvsr.evaluation.clip_scores.shift", failing)
    scores, _ = score_clip("a", CLIP, CLIP.flip(0), {"psnr": PSNR()})
    assert scores["psnr"] is not None
    assert "a: the check for a shift failed: ValueError: Shape of array too small" in caplog.text

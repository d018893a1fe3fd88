"""Scores of clips: what a metric refuses is empty, what differs from its truth is an error."""

import pytest
import torch

from dcvsr.errors import UserError
from dcvsr.evaluation.scores import means, over_seeds, scored
from dcvsr.metrics.fidelity import PSNR, SSIM

CLIP = torch.rand(2, 3, 8, 16, generator=torch.Generator().manual_seed(0))


def test_a_metric_that_refuses_a_clip_leaves_the_others_their_scores() -> None:
    scores, refused = scored("a", CLIP, CLIP.flip(0), {"ssim": SSIM(), "psnr": PSNR()})
    assert scores["ssim"] is None
    assert scores["psnr"] == pytest.approx(PSNR()(CLIP, CLIP.flip(0)).item())
    assert refused == {"ssim": "SSIM needs 11x11 pixels, got 2 frames of 16x8 in 3 channels"}


def test_a_perfect_score_has_no_number() -> None:
    scores, refused = scored("a", CLIP, CLIP, {"psnr": PSNR()})
    assert (scores, refused) == ({"psnr": None}, {})


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

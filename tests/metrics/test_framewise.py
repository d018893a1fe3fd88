"""Behaviour shared by metrics of single frames, shown on PSNR and SSIM."""

import pytest
import torch
from torch import Tensor

from dcvsr.metrics.fidelity import CAP, PSNR, SSIM
from dcvsr.runtime.errors import UserError

GENERATOR = torch.Generator().manual_seed(0)
RESTORED, REFERENCE = torch.rand(2, 5, 3, 12, 16, generator=GENERATOR)
LEVELS = torch.tensor([0.0, 1, 2, 40, 255]).expand(1, 3, 4, 5) / 255


def test_the_score_does_not_depend_on_how_a_clip_is_split() -> None:
    whole, split = SSIM(), SSIM()
    whole.update(RESTORED, REFERENCE)
    for part in ([0, 1, 2], [3], [4]):
        split.update(RESTORED[part], REFERENCE[part])
    assert whole.compute() == split.compute()


def test_a_clip_scores_the_mean_of_its_frames() -> None:
    frames = []
    for x, y in zip(RESTORED.split(1), REFERENCE.split(1), strict=True):
        metric = PSNR()
        metric.update(x, y)
        frames.append(float(metric.compute()))
    metric = PSNR()
    metric.update(RESTORED, REFERENCE)
    assert float(metric.compute()) == pytest.approx(sum(frames) / len(frames), rel=1e-6)


def test_reset_forgets_earlier_clips() -> None:
    metric = PSNR()
    metric.update(RESTORED, REFERENCE)
    metric.reset()
    metric.update(REFERENCE, REFERENCE)
    assert metric.compute() == CAP


@pytest.mark.parametrize(
    "beyond", [LEVELS - 0.4 / 255, (LEVELS + 0.3 / 255).half(), LEVELS.where(LEVELS < 1, 1.2)]
)
def test_frames_are_rounded_to_eight_bits(beyond: Tensor) -> None:
    metric = PSNR()
    metric.update(beyond, LEVELS)
    assert metric.compute() == CAP


def test_clips_that_differ_in_size_or_length_are_rejected_and_described() -> None:
    with pytest.raises(UserError, match="5 frames of 16x12 in 3 channels against 4 frames of 16x12"):
        PSNR().update(RESTORED, REFERENCE[:4])
    with pytest.raises(UserError, match="5 frames of 15x12 in 3 channels against 5 frames of 16x12"):
        PSNR().update(RESTORED[..., 1:], REFERENCE)


def test_frames_too_small_to_score_are_rejected() -> None:
    with pytest.raises(UserError, match="SSIM needs 11x11 pixels, got 5 frames of 16x10"):
        SSIM().update(RESTORED[:, :, 2:], REFERENCE[:, :, 2:])

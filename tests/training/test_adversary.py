"""The discriminator and its losses."""

from functools import cache

import pytest
import torch
from torch import Tensor

from dcvsr.training.adversary import WIDTHS, Adversary
from dcvsr.training.pixel_losses import PixelLosses


def adversary() -> Adversary:
    torch.manual_seed(0)
    return Adversary(4)


def features(seed: int, frames: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(frames, k, 32 >> n, 32 >> n, generator=generator) for n, k in enumerate(WIDTHS)]


def scores(judge: Adversary, found: list[Tensor]) -> list[Tensor]:
    return [layer[-1] for layer in judge(found)]


def test_each_frame_is_judged_alone() -> None:
    judge, found = adversary().eval(), features(1)
    for n in range(2):
        alone = scores(judge, [layer[n : n + 1] for layer in found])
        for one, all_frames in zip(alone, scores(judge, found), strict=True):
            torch.testing.assert_close(one, all_frames[n : n + 1])


def test_the_scale_of_features_does_not_matter() -> None:
    judge, found = adversary().eval(), features(1)
    for one, scaled in zip(scores(judge, found), scores(judge, [9 * layer for layer in found]), strict=True):
        torch.testing.assert_close(one, scaled, rtol=1e-4, atol=1e-5)


def test_inner_layers_cannot_raise_a_norm() -> None:
    """Spectral normalisation, after some power iterations."""
    judge = adversary()
    for _ in range(50):
        judge(features(1))
    for head in judge.heads:
        for layer in (head.first, head.second):
            assert torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2) == pytest.approx(1, abs=1e-2)


def test_restoring_losses_reach_the_frames_and_judging_loss_the_discriminator() -> None:
    judge, hr = adversary(), features(1)
    restored = [layer.requires_grad_() for layer in features(2)]
    torch.stack([*judge.restoring_losses(restored, hr).values()]).sum().backward()
    assert all(layer.grad is not None and layer.grad.abs().max() > 0 for layer in restored)
    assert all(p.grad is None and p.requires_grad for p in judge.parameters())
    for layer in restored:
        layer.grad = None
    judge.judging_loss(restored, hr).backward()
    assert all(layer.grad is None for layer in restored)
    assert all(p.grad is not None for p in judge.parameters())


def test_features_are_least_at_the_truth() -> None:
    judge, hr = adversary().eval(), features(1)
    assert judge.restoring_losses(hr, hr)["features"] == 0
    assert judge.restoring_losses(features(2), hr)["features"] > 0


def test_losses_are_the_hinge_of_scores() -> None:
    judge, hr, restored = adversary().eval(), features(1), features(2)
    false, true = scores(judge, restored), scores(judge, hr)
    hinges = [
        (1 + f).clamp(min=0).mean() + (1 - t).clamp(min=0).mean() for f, t in zip(false, true, strict=True)
    ]
    torch.testing.assert_close(judge.judging_loss(restored, hr), sum(hinges) / 3)
    expected = -sum(layer.mean() for layer in false) / 3
    torch.testing.assert_close(judge.restoring_losses(restored, hr)["adversarial"], expected)


@cache
def textures() -> tuple[list[list[Tensor]], list[list[Tensor]]]:
    """Return features of random textures, and of the same ones blurred a little."""
    losses, sharp, soft = PixelLosses({}, features=True), [], []
    for seed in range(12):
        texture = torch.rand(1, 1, 3, 48, 48, generator=torch.Generator().manual_seed(seed))
        blurred = torch.nn.functional.avg_pool2d(texture[0], 3, 1, 1)[None]
        for features, video in ((sharp, 0.5 + (blurred - 0.5) * 1.5), (soft, blurred)):
            features.append(losses.compared(video, video)[0].features[2:5])
    return sharp, soft


def test_it_learns_to_tell_low_contrast_of_textures_that_it_has_not_seen() -> None:
    judge, (sharp, soft) = adversary(), textures()
    optimizer = torch.optim.Adam(judge.parameters(), 3e-3)
    for step in range(80):
        optimizer.zero_grad()
        judge.judging_loss(soft[step % 8], sharp[step % 8]).backward()
        optimizer.step()
    for false, true in zip(soft[8:], sharp[8:], strict=True):
        means = [torch.stack([s.mean() for s in scores(judge, found)]).mean() for found in (false, true)]
        assert means[1] > means[0] + 0.3


def test_a_width_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="channels must be at least 1, got 0"):
        Adversary(0)

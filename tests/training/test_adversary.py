"""The discriminator and its losses."""

import pytest
import torch
from torch import Tensor

from dcvsr.runtime.errors import UserError
from dcvsr.training.adversary import Adversary


def adversary(frames: int = 3) -> Adversary:
    torch.manual_seed(0)
    return Adversary(frames, 4)


def video(seed: int, frames: int = 4) -> Tensor:
    return torch.rand(2, frames, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def test_each_window_of_frames_is_judged_alone() -> None:
    judge, clip = adversary().eval(), video(1)
    scores = judge(clip)[-1]
    assert scores.shape[0] == 4  # two windows of each clip
    for n, (clip_number, start) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        alone = judge(clip[clip_number : clip_number + 1, start : start + 3])[-1]
        torch.testing.assert_close(scores[n : n + 1], alone)


def test_frames_in_another_order_are_another_picture() -> None:
    judge = adversary().eval()
    assert not torch.allclose(judge(video(1, 3))[-1], judge(video(1, 3).flip(1))[-1])


def test_inner_layers_cannot_raise_a_norm() -> None:
    """Spectral normalisation, after some power iterations; a 4x4 kernel of norm 1 as a matrix."""
    judge = adversary()
    for _ in range(50):
        judge(video(1))
    for layer in judge.layers[1:]:
        assert torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2) == pytest.approx(1, abs=1e-2)


def test_restoring_losses_reach_the_video_and_judging_loss_the_discriminator() -> None:
    judge, hr = adversary(), video(1)
    restored = video(2).requires_grad_()
    torch.stack([*judge.restoring_losses(restored, hr).values()]).sum().backward()
    assert restored.grad is not None
    assert restored.grad.abs().max() > 0
    assert all(p.grad is None and p.requires_grad for p in judge.parameters())
    restored.grad = None
    judge.judging_loss(restored, hr).backward()
    assert restored.grad is None
    assert all(p.grad is not None for p in judge.parameters())


def test_features_are_least_at_the_truth() -> None:
    judge, hr = adversary().eval(), video(1)
    assert judge.restoring_losses(hr, hr)["features"] == 0
    assert judge.restoring_losses(video(2), hr)["features"] > 0


def test_losses_are_the_hinge_of_scores() -> None:
    judge, hr, restored = adversary().eval(), video(1), video(2)
    false, true = judge(restored)[-1], judge(hr)[-1]
    expected = (1 + false).clamp(min=0).mean() + (1 - true).clamp(min=0).mean()
    torch.testing.assert_close(judge.judging_loss(restored, hr), expected)
    torch.testing.assert_close(judge.restoring_losses(restored, hr)["adversarial"], -false.mean())


def test_it_learns_to_tell_flicker() -> None:
    """Frames that are each as the true ones are, but of changing brightness."""
    judge = adversary()
    optimizer = torch.optim.Adam(judge.parameters(), 3e-3)
    true = video(1, 1).expand(-1, 3, -1, -1, -1) * 0.8
    flickering = true + torch.tensor([0.1, -0.1, 0.1]).reshape(1, 3, 1, 1, 1)
    for _ in range(60):
        optimizer.zero_grad()
        judge.judging_loss(flickering, true).backward()
        optimizer.step()
    assert judge(true)[-1].mean() > judge(flickering)[-1].mean() + 0.3


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ((2, 3, 32, 32), "clips of 2 frames are shorter than the discriminator's 3: raise data.frames"),
        ((4, 3, 32, 23), "needs 24 pixels a side, got 23x32: raise data.crop"),
    ],
)
def test_clips_that_are_too_small_are_refused(shape: tuple[int, ...], says: str) -> None:
    with pytest.raises(UserError, match=says):
        adversary()(torch.zeros(1, *shape))


def test_the_smallest_clip_has_a_score() -> None:
    assert adversary()(torch.zeros(1, 3, 3, 24, 24))[-1].numel() == 1


def test_sizes_of_a_discriminator_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="frames and channels must be at least 1, got 0 and 4"):
        Adversary(0, 4)

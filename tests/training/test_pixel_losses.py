"""Losses on decoded frames against their formulas."""

import pytest
import torch
from torch import Tensor

from dcvsr.training.pixel_losses import PixelLosses

ALL = {"l1": 2.0, "charbonnier": 1.0, "lpips": 0.5, "dists": 1.0, "differences": 3.0}


def video(seed: int) -> Tensor:
    return torch.rand(1, 3, 3, 48, 48, generator=torch.Generator().manual_seed(seed))


def test_every_term_is_least_at_the_truth_and_has_its_weight() -> None:
    true, other = video(1), video(2)
    losses, halved = PixelLosses(ALL), PixelLosses({term: weight / 2 for term, weight in ALL.items()})
    at_truth, away, half = losses(true, true), losses(other, true), halved(other, true)
    assert list(away) == list(ALL)
    for term in ALL:
        assert at_truth[term] == pytest.approx(1e-3 if term == "charbonnier" else 0, abs=1e-5)
        assert away[term] > 10 * max(at_truth[term], 1e-4)
        torch.testing.assert_close(2 * half[term], away[term])
    torch.testing.assert_close(away["l1"], 2 * (other - true).abs().mean())
    torch.testing.assert_close(away["differences"], 3 * (other - true).diff(dim=1).abs().mean())


def test_perceptual_terms_are_the_metrics() -> None:
    from dcvsr.metrics.perceptual import DISTS, LPIPS

    true, other = video(1), video(2)
    found = PixelLosses({"lpips": 1, "dists": 1})(other, true)
    for name, metric in {"lpips": LPIPS(), "dists": DISTS()}.items():
        metric.update(other[0], true[0])
        torch.testing.assert_close(found[name], metric.compute(), rtol=0.02, atol=0)  # it rounds to 8 bits


def test_perceptual_terms_see_the_named_frames_and_the_others_all() -> None:
    true, other = video(1), video(2)
    losses = PixelLosses({"l1": 1, "lpips": 1})
    some = losses(other, true, losses.compared(other, true, torch.tensor([[0, 2]])))
    torch.testing.assert_close(some["lpips"], losses(other[:, ::2], true[:, ::2])["lpips"])
    assert some["l1"] == losses(other, true)["l1"]
    assert some["lpips"] != losses(other, true)["lpips"]


def test_a_still_error_costs_no_differences() -> None:
    true = video(1)
    assert PixelLosses({"differences": 1})(true + 0.1, true)["differences"] == pytest.approx(0, abs=1e-6)


def test_specks_cost_in_smooth_places_only() -> None:
    """A speck of 12 levels in a flat frame is 2 thresholds above the first; one in a rough frame is free."""
    flat = torch.full((1, 1, 3, 16, 16), 0.5)
    flat[..., 8, 8] += 12 / 255
    losses = PixelLosses({"specks": 1})
    found = losses(flat, torch.full_like(flat, 0.5))["specks"]
    assert found == pytest.approx(2 / 10**2, rel=1e-3)
    assert losses(flat, flat)["specks"] == 0
    rough = video(3)
    assert losses(video(2), rough)["specks"] == 0


def test_gradients_of_specks_equal_finite_differences() -> None:
    generator = torch.Generator().manual_seed(4)
    hr = torch.full((1, 1, 3, 9, 9), 0.5, dtype=torch.float64)
    restored = hr + 0.05 * torch.randn(hr.shape, dtype=torch.float64, generator=generator)
    losses = PixelLosses({"specks": 1})
    assert losses(restored, hr)["specks"] > 0.1
    assert torch.autograd.gradcheck(lambda x: losses(x, hr)["specks"], (restored.requires_grad_(),))


def test_gradients_reach_the_video_and_no_network() -> None:
    restored = video(2).requires_grad_()
    losses = PixelLosses({"lpips": 1, "dists": 1, "l1": 0})
    torch.stack([*losses(restored, video(1)).values()]).sum().backward()
    assert restored.grad is not None
    assert restored.grad.abs().max() > 0
    weights = [p for network in (losses.lpips, losses.dists) for p in network.parameters()]
    assert weights
    assert all(p.grad is None and not p.requires_grad for p in weights)


@pytest.mark.parametrize("term", ["lpips", "dists"])
def test_gradients_of_perceptual_terms_equal_finite_differences(term: str) -> None:
    """Along the gradient: a network whose features were computed without gradients would fail here."""
    losses, hr = PixelLosses({term: 1}), video(1).double()
    getattr(losses, term).double()
    restored = video(2).double().requires_grad_()
    (gradient,) = torch.autograd.grad(losses(restored, hr)[term], restored)
    step = 1e-6 * gradient / gradient.norm()
    with torch.no_grad():
        ends = [losses(restored + sign * step, hr)[term] for sign in (1, -1)]
    torch.testing.assert_close(gradient.norm(), (ends[0] - ends[1]) / 2e-6, rtol=1e-2, atol=0)

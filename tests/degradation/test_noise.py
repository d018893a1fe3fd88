"""Noise: its moments, and that every frame has its own."""

from itertools import combinations, islice

import pytest
import torch
from scipy.stats import kstest
from torch import Generator, Tensor

from dcvsr.degradation.noise import Noise
from dcvsr.degradation.walk import Params, Walk, walked
from tests.comparing import apart
from tests.degradation.making import drawn_as_often, rng, uniform_between

NOISE = Noise(0.5, 0.5, sigma=Walk(1, 30, 0.1), scale=Walk(0.05, 3, 0.005), gray=0.4)
SIDE = 256


def params(kind: str, strength: float, colours: str = "colour", step: float = 0, seed: int = 0) -> Params:
    walk = {"start": strength, "step": step, "low": 0, "high": 100, "seed": 1}
    return {"kind": kind, "colours": colours, "strength": walk, "seed": seed}


def noise_of(drawn: Params, frames: Tensor) -> Tensor:
    return torch.stack(list(NOISE.apply(drawn, frames))) - frames


def ramp(levels: int) -> Tensor:
    """A gray frame of as many levels, each in one column or more."""
    columns = torch.arange(SIDE) * levels // SIDE
    return (columns * (255 // levels) / 255).expand(1, 3, SIDE, SIDE)


def correlation(one: Tensor, other: Tensor) -> float:
    return torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1].item()


@pytest.mark.parametrize("colours", ["gray", "colour"])
@pytest.mark.parametrize("sigma", [1.0, 10.0, 30.0])
def test_gaussian_noise_is_normal_of_mean_zero_and_deviation_sigma(sigma: float, colours: str) -> None:
    noise = noise_of(params("gaussian", sigma, colours), torch.full((2, 3, SIDE, SIDE), 0.5))[:, 0]
    count = noise.numel()
    assert abs(noise.mean().item()) < 4 * sigma / 255 / count**0.5
    assert noise.std().item() * 255 == pytest.approx(sigma, rel=4 / (2 * count) ** 0.5)
    assert kstest((noise.flatten() * 255 / sigma).numpy(), "norm").pvalue > 1e-3


@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_gray_noise_is_the_same_in_all_colours_and_other_noise_in_none(kind: str) -> None:
    frames = torch.rand(2, 3, SIDE, SIDE, generator=rng())
    gray = noise_of(params(kind, 2.0, "gray"), frames)
    torch.testing.assert_close(gray, gray[:, :1].expand_as(gray), atol=1e-6, rtol=0)
    assert gray.std() > 0
    coloured = noise_of(params(kind, 2.0), frames)
    for one, other in combinations(range(3), 2):
        assert abs(correlation(coloured[:, one], coloured[:, other])) < 0.02


@pytest.mark.parametrize("colours", ["gray", "colour"])
@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_every_frame_has_noise_of_its_own(kind: str, colours: str) -> None:
    noise = noise_of(params(kind, 2.0, colours), torch.full((3, 3, SIDE, SIDE), 0.5))
    for one, other in combinations(noise[:, 0], 2):
        assert abs(correlation(one, other)) < 0.02
    assert noise[0].std().item() == pytest.approx(noise[2].std().item(), rel=0.02)


@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_strength_walks_from_frame_to_frame(kind: str) -> None:
    drawn = params(kind, 20, step=15)
    noise = noise_of(drawn, torch.full((8, 3, SIDE, SIDE), 0.5))
    strengths = torch.tensor(list(islice(walked(drawn["strength"]), 8)))
    assert strengths.max() > 1.5 * strengths.min()
    ratios = noise.std(dim=(1, 2, 3)) / strengths
    torch.testing.assert_close(ratios, ratios.mean().expand(8), rtol=0.02, atol=0)


@pytest.mark.parametrize("scale", [0.05, 1.0, 3.0])
@pytest.mark.parametrize(("levels", "photons"), [(1, 1), (2, 2), (3, 4), (64, 64), (65, 128), (200, 256)])
def test_poisson_noise_has_mean_zero_and_the_variance_of_photons(
    levels: int, photons: int, scale: float
) -> None:
    """scale^2 signal / photons, where photons = 2^ceil(log2(levels of the frame))."""
    frame = ramp(levels) if levels > 1 else torch.full((1, 3, SIDE, SIDE), 0.5)
    signal = (frame * 255).round() / 255
    noise = noise_of(params("poisson", scale), frame)
    expected = scale**2 * signal.mean() / photons
    assert abs(noise.mean()) < 4 * (expected / noise.numel()) ** 0.5
    assert noise.square().mean() == pytest.approx(expected.item(), rel=0.03)


@pytest.mark.parametrize("colours", ["gray", "colour"])
def test_poisson_noise_grows_with_the_signal(colours: str) -> None:
    frame = ramp(16)
    noise = noise_of(params("poisson", 1.5, colours), frame)
    signal = frame[0, 0, 0]
    spread = noise[0, 0].square().mean(dim=0).unflatten(0, (16, -1)).mean(1)
    slopes = (spread / (1.5**2 * signal.unflatten(0, (16, -1)).mean(1) / 16))[1:]
    torch.testing.assert_close(slopes, torch.ones(15), rtol=0.15, atol=0)
    assert spread[0] == 0, "where there is no light, there is no noise"


def test_gray_poisson_noise_counts_the_levels_of_luminance() -> None:
    """Red alone varies, over 60 levels: luminance has 19 of them, which makes 32 photons."""
    frame = torch.full((1, 3, SIDE, SIDE), 0.5)
    frame[:, 0] = (torch.arange(SIDE) * 60 // SIDE) / 255
    luminance = torch.einsum("fchw,c->fhw", frame, torch.tensor([0.299, 0.587, 0.114]))
    levels = (luminance * 255).round()
    assert 16 < len(levels.unique()) <= 32
    noise = noise_of(params("poisson", 1.0, "gray"), frame)
    assert noise[:, 0].square().mean() == pytest.approx((levels / 255).mean().item() / 32, rel=0.03)


def test_poisson_noise_sees_what_lies_outside_as_the_nearest_level() -> None:
    bright = noise_of(params("poisson", 1.0), torch.full((1, 3, SIDE, SIDE), 1.4))
    assert bright.mean().abs() < 0.02
    dark = noise_of(params("poisson", 1.0), torch.full((1, 3, SIDE, SIDE), -0.4))
    assert (dark == 0).all()


@pytest.mark.parametrize("colours", ["gray", "colour"])
@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_noise_has_the_moments_of_basicsr_s(basicsr, real_clip: Tensor, kind: str, colours: str) -> None:
    """Over the same clip, at each frame's every level of brightness."""
    make = {"gaussian": basicsr.generate_gaussian_noise_pt, "poisson": basicsr.generate_poisson_noise_pt}[
        kind
    ]
    strength, gray = {"gaussian": 12.0, "poisson": 1.3}[kind], float(colours == "gray")
    torch.manual_seed(0)
    theirs = torch.cat([make(real_clip[:1], strength, gray) for _ in range(20)])
    ours = noise_of(params(kind, strength, colours), real_clip[:1].expand(20, -1, -1, -1))
    brightness = real_clip[0].mean(0)
    for low in (0, 0.25, 0.5):
        where = ((brightness >= low) & (brightness < low + 0.25)).expand(20, 3, -1, -1)
        assert ours[where].std() == pytest.approx(theirs[where].std().item(), rel=0.02)
        assert ours[where].mean() == pytest.approx(theirs[where].mean().item(), abs=0.002)


def test_noise_replays_and_another_seed_is_other_noise() -> None:
    frames = torch.full((2, 3, 32, 32), 0.5)
    for kind in ("gaussian", "poisson"):
        first = noise_of(params(kind, 2.0), frames)
        torch.manual_seed(9)
        assert torch.equal(noise_of(params(kind, 2.0), frames), first)
        assert apart(noise_of(params(kind, 2.0, seed=1), frames), first)


def test_frames_of_one_clip_may_differ_in_size() -> None:
    frames = [torch.rand(3, *size) for size in [(20, 24), (22, 24), (4, 6)]]
    for kind in ("gaussian", "poisson"):
        noisy = list(NOISE.apply(params(kind, 2.0, "gray"), frames))
        assert [frame.shape for frame in noisy] == [frame.shape for frame in frames]


def test_kinds_colours_and_strengths_are_drawn_as_asked() -> None:
    source: Generator = rng()
    drawn = [NOISE.draw(source, (1, 3, 8, 8)) for _ in range(4000)]
    odds = {
        ("gaussian", "gray"): 2,
        ("gaussian", "colour"): 3,
        ("poisson", "gray"): 2,
        ("poisson", "colour"): 3,
    }
    assert drawn_as_often(((each["kind"], each["colours"]) for each in drawn), dict(odds))
    for kind, walk in [("gaussian", NOISE.sigma), ("poisson", NOISE.scale)]:
        starts = [each["strength"]["start"] for each in drawn if each["kind"] == kind]
        assert uniform_between(starts, walk.low, walk.high)
    assert len({each["seed"] for each in drawn}) == len(drawn)

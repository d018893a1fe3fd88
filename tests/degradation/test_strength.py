"""Strengths: what was drawn, against what it does to frames."""

import math
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvsr.degradation import blur_kernels
from dcvsr.degradation.blur import Blur
from dcvsr.degradation.noise import Noise
from dcvsr.degradation.strength import kernel_variance, strength
from dcvsr.degradation.walk import Params, Walk, walked
from tests.degradation.making import configured, rng

NOTHING = dict.fromkeys(("blur", "noise", "jpeg", "codec", "crf"))


def still(value: float) -> Params:
    return {"start": value, "step": 0.0, "low": value, "high": value, "seed": 0}


def moving(low: float, high: float, seed: int) -> Params:
    return {"start": low, "step": (high - low) / 3, "low": low, "high": high, "seed": seed}


def iso(sigma: float) -> Params:
    return {"kind": "iso", "size": 21, "sigma_x": still(sigma)}


def noise(kind: str, value: float) -> Params:
    return {"kind": kind, "colours": "colour", "strength": still(value), "seed": 1}


def impulse_deviation(drawn: Params) -> float:
    """Of what a point becomes, in numpy: the fourth root of its covariance's determinant."""
    point = torch.zeros(1, 65, 65)
    point[0, 32, 32] = 1
    any_walk = Walk(1, 1, 0)
    blur = Blur({"iso": 1}, 7, 21, *[any_walk] * 7)
    [spot] = (frame[0].double().numpy() for frame in blur.apply(drawn, [point]))
    y, x = np.mgrid[-32:33, -32:33]
    covariance = np.cov(np.stack([y.ravel(), x.ravel()]), aweights=spot.ravel(), ddof=0)
    return float(np.linalg.det(covariance) ** 0.25)


@pytest.mark.parametrize("kind", ["aniso", "generalized_aniso", "plateau_aniso"])
def test_blur_is_the_deviation_of_a_blurred_point(kind: str) -> None:
    drawn: Params = {
        "kind": kind,
        "size": 21,
        "sigma_x": still(1.0),
        "sigma_y": still(2.2),
        "angle": still(0.6),
        "beta_seed": 3,
        "beta_gaussian": still(0.8),
        "beta_plateau": still(1.7),
    }
    if kind == "aniso":
        del drawn["beta_seed"]
    assert strength({"blur": drawn}, 1)["blur"] == pytest.approx(impulse_deviation(drawn), rel=1e-4)


@settings(max_examples=40)
@given(st.floats(1, 3), st.floats(1, 3), st.floats(-math.pi, math.pi))
def test_a_gaussian_s_variance_is_the_product_of_its_sigmas_however_it_is_turned(
    sigma_x: float, sigma_y: float, angle: float
) -> None:
    kernel = blur_kernels.gaussian(31, sigma_x, sigma_y, angle)
    assert kernel_variance(kernel) == pytest.approx(sigma_x * sigma_y, rel=1e-3)


def test_variances_of_blurs_and_of_noises_add_up() -> None:
    params = {"a": iso(1.5), "b": None, "c": iso(2.0), "d": noise("gaussian", 3), "e": noise("gaussian", 4)}
    assert strength(params, 8)["blur"] == pytest.approx(2.5, rel=1e-3)
    assert strength(params, 8)["noise"] == pytest.approx(5.0)


def test_noise_that_walks_counts_by_its_mean_variance() -> None:
    walk = moving(2, 20, 1)
    values = np.array(list(islice(walked(walk), 9)))
    drawn = noise("gaussian", 0) | {"strength": walk}
    assert strength({"noise": drawn}, 9)["noise"] == pytest.approx(np.sqrt(np.mean(values**2)))


def test_sinc_counts_as_the_gaussian_that_halves_the_amplitude_at_its_cutoff() -> None:
    omega = 0.9
    sigma = strength({"blur": {"kind": "sinc", "size": 21, "omega": still(omega)}}, 8)["blur"]
    assert sigma is not None
    taps = torch.arange(81, dtype=torch.float64) - 40
    for kernel in (blur_kernels.sinc(81, omega), blur_kernels.gaussian(81, sigma)):
        response = (kernel.sum(0) @ torch.cos(omega * taps)).item()
        assert response == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("kind", "value"), [("gaussian", 12.0), ("poisson", 1.5)])
def test_noise_is_the_deviation_of_noised_mid_gray(kind: str, value: float) -> None:
    """Beside a ramp of all levels, as real video has them."""
    frame = torch.full((3, 256, 512), 127.5 / 255)
    frame[:, :, :256] = torch.arange(256) / 255
    drawn = noise(kind, value)
    added = Noise(0.5, 0.5, Walk(1, 2, 0), Walk(1, 2, 0), 0).apply(drawn, [frame])
    measured = 255 * (next(added) - frame)[:, :, 256:].std().item()
    assert strength({"noise": drawn}, 1)["noise"] == pytest.approx(measured, rel=0.02)


def test_jpeg_is_the_lower_mean_of_the_qualities_that_frames_had() -> None:
    walks = [moving(40, 60, 0), moving(30, 90, 1)]
    means = [np.mean([round(value) for value in islice(walked(walk), 7)]) for walk in walks]
    params = {str(number): {"quality": walk} for number, walk in enumerate(walks)}
    assert strength(params, 7)["jpeg"] == pytest.approx(min(means))
    assert abs(strength(params, 70)["jpeg"] - min(means)) > 0.01


def test_codec_is_the_tightest_budget_for_a_pixel_of_lr_wherever_it_stands() -> None:
    last = {
        "reduce": {"resize": {"kernel": "area", "size": [20, 30]}, "sinc": None},
        "video": {"codec": "mpeg4", "bit_rate": 1200},
    }
    params = {"video1": {"codec": "libx264", "bit_rate": 9000}, "last": last}
    assert strength(params, 8) == NOTHING | {"codec": 2.0}
    by_quality = {str(crf): {"codec": "libx264", "crf": crf} for crf in (18.0, 23.5, 20.0)}
    assert strength(by_quality, 8) == NOTHING | {"crf": 23.5}


def test_what_does_not_degrade_has_no_strength() -> None:
    resize = {"kernel": "area", "scale": still(0.5)}
    assert strength({"sharpen": {}, "blur": None, "resize": resize, "last": {"video": None}}, 8) == NOTHING
    assert strength(configured("bicubic").draw(rng(), (2, 3, 16, 16)), 8) == NOTHING


@pytest.mark.parametrize("name", ["realbasicvsr", "light"])
def test_what_a_configured_degradation_draws_is_all_found_and_inside_its_ranges(name: str) -> None:
    degradation = configured(name)
    drawn = [strength(degradation.draw(rng(seed), (8, 3, 64, 64)), 8) for seed in range(10)]
    rate = {"realbasicvsr": "codec", "light": "crf"}[name]
    for found in drawn:
        assert found["noise"] is not None
        assert found["jpeg"] is not None
        assert found[rate] is not None
        assert 30 <= found["jpeg"] <= 97
    assert sum(found["blur"] is not None for found in drawn) >= 7


@settings(max_examples=40)
@given(st.floats(0.5, 3), st.floats(1.05, 2))
def test_nesting_changes_nothing_and_more_is_stronger(sigma: float, more: float) -> None:
    flat = strength({"blur": iso(sigma), "noise": noise("poisson", sigma)}, 2)
    assert strength({"a": {"b": {"blur": iso(sigma)}}, "noise": noise("poisson", sigma)}, 2) == flat
    stronger = strength({"blur": iso(more * sigma), "noise": noise("poisson", more * sigma)}, 2)
    assert flat["blur"] is not None
    assert flat["noise"] is not None
    assert stronger["blur"] is not None
    assert stronger["noise"] is not None
    assert stronger["blur"] > flat["blur"]
    assert stronger["noise"] > flat["noise"]

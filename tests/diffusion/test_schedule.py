"""Noise levels against diffusers, and gamma of Eq. (10)."""

import math

import pytest
import torch
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from hypothesis import given
from hypothesis import strategies as st

from dcvsr.diffusion.schedule import karras_sigmas, suppression
from tests.comparing import rise
from tests.conftest import SVD_SCHEDULER


@pytest.mark.parametrize("steps", [1, 2, 25])
def test_noise_levels_are_diffusers_for_svd(steps):
    scheduler = EulerDiscreteScheduler(**SVD_SCHEDULER)  # type: ignore[arg-type]
    scheduler.set_timesteps(steps)
    ours = karras_sigmas(steps, 0.002, 700, 7)
    torch.testing.assert_close(ours.float(), scheduler.sigmas, rtol=1e-4, atol=1e-6)


@given(low=st.floats(0.002, 10), ratio=st.floats(1.01, 1000), steps=st.integers(2, 30))
def test_both_ends_are_exact_whatever_the_processor_rounds(low, ratio, steps):
    sigmas = karras_sigmas(steps, low, low * ratio, 7).tolist()
    assert (sigmas[0], sigmas[-2], sigmas[-1]) == (low * ratio, low, 0)
    assert suppression(sigmas[-2], 0.5, low, low * ratio) == 0
    assert rise(sigmas[::-1])


@pytest.mark.parametrize(
    ("step", "gamma"),
    [
        (0, 1),
        (5, 0.946),
        (10, 0.874),
        (15, 0.770),
        (16, 0.742),
        (20, 0.585),
        (22, 0.444),
        (23, 0.328),
        (24, 0),
    ],
)
def test_gamma_over_svd_s_25_steps_is_spec_3_s(step, gamma):
    sigma = karras_sigmas(25, 0.002, 700, 7)[step].item()
    assert suppression(sigma, 0.5, 0.002, 700) == pytest.approx(gamma, abs=5e-4)


@given(sigma=st.floats(0.00201, 700), rho=st.floats(0.1, 3))
def test_gamma_is_eq_10_between_the_ends(sigma, rho):
    share = (math.log(sigma) - math.log(0.002)) / (math.log(700) - math.log(0.002))
    assert suppression(sigma, rho, 0.002, 700) == pytest.approx(share**rho, abs=1e-6)


@given(sigma=st.floats(1e-300, 1e300), rho=st.floats(0, 10), louder=st.floats(1, 1e3))
def test_gamma_is_between_0_and_1_and_never_falls_with_the_noise(sigma, rho, louder):
    gamma = suppression(sigma, rho, 0.002, 700)
    assert 0 <= gamma <= suppression(sigma * louder, rho, 0.002, 700) <= 1


@pytest.mark.parametrize("steps", [1, 2, 3, 8, 12, 25, 100])
def test_gamma_has_a_value_at_every_level_of_a_sampler(steps):
    gammas = [
        suppression(sigma, 0.5, 0.002, 700) for sigma in karras_sigmas(steps, 0.002, 700, 7)[:-1].tolist()
    ]
    assert rise([*gammas, 0][::-1])
    assert gammas[0] == 1


@pytest.mark.parametrize(
    "bad",
    [
        {"sigma": 0},
        {"sigma": -1},
        {"sigma": math.nan},
        {"rho": -0.5},
        {"sigma_min": 0},
        {"sigma_min": -0.002},
        {"sigma_max": 0.002},
        {"sigma_max": 0.001},
    ],
)
def test_impossible_numbers_are_refused(bad):
    with pytest.raises(ValueError, match=str(next(iter(bad.values())))):
        suppression(**{"sigma": 1, "rho": 0.5, "sigma_min": 0.002, "sigma_max": 700, **bad})

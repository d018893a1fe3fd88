"""Noise levels and the Euler solver, against diffusers and closed forms."""

import pytest
import torch
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler

from dcvsr.diffusion.guidance import CFG, NoGuidance
from dcvsr.diffusion.sampler import Euler
from dcvsr.diffusion.schedule import karras_sigmas
from tests.conftest import SVD_SCHEDULER


@pytest.mark.parametrize("steps", [1, 2, 25])
def test_noise_levels_are_diffusers_for_svd(steps):
    scheduler = EulerDiscreteScheduler(**SVD_SCHEDULER)  # type: ignore[arg-type]
    scheduler.set_timesteps(steps)
    ours = karras_sigmas(steps, 0.002, 700, 7)
    torch.testing.assert_close(ours.float(), scheduler.sigmas, rtol=1e-4, atol=1e-6)


def test_euler_solves_a_gaussian_in_the_limit_of_many_steps():
    """For data N(0, 1), D_x = x / (1 + sigma^2), and the ODE ends at x_T / sqrt(1 + sigma_max^2)."""
    noise = torch.linspace(-2, 2, 9).reshape(1, 1, 3, 3)

    def denoise(x, sigma, step):
        return x / (1 + sigma**2)

    errors = [
        (Euler(steps, 0.002, 80, 7)(denoise, noise) - noise).abs().max().item() for steps in (50, 100, 200)
    ]
    assert errors[2] < 0.03
    assert errors[0] > 1.8 * errors[1] > 3.2 * errors[2]  # first order: half the step, half the error


def test_every_step_is_told_its_level_and_index():
    seen = []
    Euler(4, 0.1, 10, 7)(lambda x, sigma, step: seen.append((sigma, step)) or x, torch.zeros(1, 1, 1, 1))
    assert [step for _, step in seen] == [0, 1, 2, 3]
    assert [sigma for sigma, _ in seen] == karras_sigmas(4, 0.1, 10, 7)[:-1].tolist()


@pytest.mark.parametrize("bad", [{"steps": 0}, {"steps": -3}, {"sigma_min": 0.0}, {"sigma_max": 0.01}])
def test_impossible_numbers_are_refused_at_once(bad):
    with pytest.raises(ValueError, match=r"steps|noise levels"):
        Euler(**{"steps": 4, "sigma_min": 0.1, "sigma_max": 10, "rho": 7, **bad})


class _Condition:
    def __init__(self, value: float) -> None:
        self.value = value

    @property
    def null(self):
        return _Condition(0.0)


def _denoise(x, sigma, condition):
    return x / (1 + sigma) + condition.value


def test_cfg_extrapolates_by_its_scale():
    x = torch.ones(3)
    guided = CFG(1.5)(_denoise, x, 1.0, _Condition(2.0))
    torch.testing.assert_close(guided, x / 2 + (1 + 1.5) * 2.0)


def test_cfg_of_scale_zero_is_no_guidance():
    x = torch.randn(5)
    torch.testing.assert_close(
        CFG(0.0)(_denoise, x, 0.3, _Condition(2.0)), NoGuidance()(_denoise, x, 0.3, _Condition(2.0))
    )

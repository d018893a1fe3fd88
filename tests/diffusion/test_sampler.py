"""The solvers, against closed forms."""

import pytest
import torch

from dcvsr.diffusion.sampler import Sampler
from dcvsr.diffusion.schedule import karras_sigmas

NOISE = torch.linspace(-2, 2, 9).reshape(1, 1, 3, 3)


def _gaussian(x, sigma, step):
    """For data N(0, 1); the ODE ends at x_T / sqrt(1 + sigma_max^2)."""
    return x / (1 + sigma**2)


def _errors(solver, steps):
    return [(Sampler(n, 0.002, 80, 7, solver)(_gaussian, NOISE) - NOISE).abs().max().item() for n in steps]


def test_euler_solves_a_gaussian_in_the_limit_of_many_steps():
    errors = _errors("euler", (50, 100, 200))
    assert errors[2] < 0.03
    assert errors[0] > 1.8 * errors[1] > 3.2 * errors[2]  # first order: half the step, half the error


def test_heun_does_so_to_second_order():
    errors = _errors("heun", (40, 80, 160))
    assert errors[2] < 2e-3
    assert errors[0] > 3.5 * errors[1] > 11 * errors[2]  # half the step, a quarter of the error
    assert _errors("heun", (25,)) < _errors("euler", (50,))  # for about as many evaluations


def test_heun_corrects_every_step_but_the_last():
    """Karras et al. 2022, Algorithm 1, two steps written out."""
    low, high = 0.5, 2.0
    x = NOISE.double() * (high**2 + 1) ** 0.5
    d = (x - _gaussian(x, high, 0)) / high
    x_next = x + (low - high) * d
    d_next = (x_next - _gaussian(x_next, low, 0)) / low
    x = x + (low - high) * (d + d_next) / 2
    last = _gaussian(x, low, 1)  # Euler from low to 0 lands on D
    torch.testing.assert_close(Sampler(2, low, high, 7, "heun")(_gaussian, NOISE), last.float())


@pytest.mark.parametrize("solver", ["euler", "heun"])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_every_evaluation_is_told_its_level_and_its_step(solver, steps):
    seen = []
    sampler = Sampler(steps, 0.1, 10, 7, solver)
    sampler(lambda x, sigma, step: seen.append((sigma, step)) or x, torch.zeros(1, 1, 1, 1))
    sigmas = karras_sigmas(steps, 0.1, 10, 7)[:-1].tolist()
    levels = sigmas if solver == "euler" else [s for sigma in sigmas for s in (sigma, sigma)][1:]
    assert [sigma for sigma, _ in seen] == levels
    assert [(step, sigma) for sigma, step in seen] == sampler.evaluations
    assert len(seen) == (steps if solver == "euler" else 2 * steps - 1)


def test_it_starts_from_the_variance_of_signal_and_noise():
    torch.testing.assert_close(Sampler(5, 0.1, 10, 7).initial(NOISE), NOISE * 101**0.5)


@pytest.mark.parametrize("solver", ["euler", "heun"])
@pytest.mark.parametrize("bad", [{"steps": 0}, {"steps": -3}, {"sigma_min": 0.0}, {"sigma_max": 0.01}])
def test_impossible_numbers_are_refused_at_once(solver, bad):
    with pytest.raises(ValueError, match=r"steps|noise levels"):
        Sampler(**{"steps": 4, "sigma_min": 0.1, "sigma_max": 10, "rho": 7, "solver": solver, **bad})


def test_an_unknown_solver_is_refused_with_both_known():
    with pytest.raises(ValueError, match=r"^solver: 'rk4' is not a choice; choose euler or heun$"):
        Sampler(4, 0.1, 10, 7, "rk4")


@pytest.mark.parametrize("same", [{"sigma_min": 2}, {"rho": 3}, {"solver": "heun"}])
def test_settings_that_change_no_noise_level_are_no_mismatch(same):
    """One step evaluates at sigma_max, whatever the others are."""
    assert (
        Sampler(**{"steps": 1, "sigma_min": 15, "sigma_max": 60, "rho": 7, **same}).mismatch(
            Sampler(1, 15, 60, 7)
        )
        is None
    )


@pytest.mark.parametrize(
    ("used", "trained", "said"),
    [
        (
            Sampler(3, 15, 60, 7),
            Sampler(1, 15, 60, 7),
            "was trained for sampler.steps=1 (noise levels 60), this run uses sampler.steps=3 "
            "(60, 31, 15): add sampler.steps=1",
        ),
        (
            Sampler(2, 15, 60, 7),
            Sampler(2, 15, 60, 7, "heun"),
            "was trained for sampler.solver=heun (noise levels 60, 15), this run uses sampler.solver=euler "
            "(60, 15): add sampler.solver=heun",
        ),
        (
            Sampler(25, 0.002, 700, 7),
            Sampler(2, 1, 700, 7),
            "was trained for sampler.steps=2 sampler.sigma_min=1 (noise levels 700, 1), this run uses "
            "sampler.steps=25 sampler.sigma_min=0.002 (700, 546, 422, ..., 0.002): "
            "add sampler.steps=2 sampler.sigma_min=1",
        ),
    ],
)
def test_a_mismatch_names_both_samplers_and_the_way_out(used, trained, said):
    assert used.mismatch(trained) == said

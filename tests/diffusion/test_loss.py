"""Eqs. 11 and 12 against their formulas, in float64."""

import torch

from dcvsr.diffusion.loss import EDMLoss
from dcvsr.diffusion.preconditioning import scalings


def _clips(count: int = 3):
    generator = torch.Generator().manual_seed(0)
    y, eps, F = torch.randn(3, count, 2, 4, 5, 6, generator=generator, dtype=torch.float64)
    sigma = EDMLoss(0.7, 1.6).sigma(count, generator).double()
    return y, eps, F, sigma


def test_eq_11_is_the_mean_squared_error_of_each_clip_on_v():
    y, eps, F, sigma = _clips()
    s = sigma[:, None, None, None, None]

    def denoise(x, _):
        c_skip, c_out, _, _ = scalings(s)
        return c_skip * x + c_out * F

    v = (eps - s * y) / (1 + s**2).sqrt()
    expected = ((F - v) ** 2).mean(dim=(1, 2, 3, 4))
    torch.testing.assert_close(EDMLoss(0.7, 1.6)(denoise, y, eps, sigma), expected)


def test_a_perfect_denoiser_has_no_loss_and_is_told_the_noise_level():
    y, eps, _, sigma = _clips()
    seen = []

    def denoise(x, level):
        seen.append(level)
        return x - level[:, None, None, None, None] * eps

    assert EDMLoss(0.7, 1.6)(denoise, y, eps, sigma).max() < 1e-20
    assert torch.equal(seen[0], sigma)


def test_noise_levels_are_log_normal():
    ln_sigma = EDMLoss(0.7, 1.6).sigma(200_000, torch.Generator().manual_seed(1)).log()
    assert abs(ln_sigma.mean() - 0.7) < 0.02
    assert abs(ln_sigma.std() - 1.6) < 0.02


def test_preconditioning_has_edm_s_limits():
    """Karras et al. 2022: unit-variance input and target at every noise level, identity at none."""
    sigma = torch.logspace(-3, 3, 50, dtype=torch.float64)
    c_skip, c_out, c_in, c_noise = scalings(sigma)
    torch.testing.assert_close(c_in**2 * (1 + sigma**2), torch.ones_like(sigma))
    target_variance = ((1 - c_skip) ** 2 + (c_skip * sigma) ** 2) / c_out**2
    torch.testing.assert_close(target_variance, torch.ones_like(sigma))
    torch.testing.assert_close(c_noise, 0.25 * sigma.log())
    assert c_skip[0] > 0.999999
    assert (c_out < 0).all()

"""The seven kernels, each against its formula written out, and against what a kernel of its kind must do."""

import numpy as np
import pytest
import torch
from scipy.special import j1
from torch import Tensor

from dcvsr.degradation import blur_kernels
from tests.comparing import apart, rise

SIZES = [7, 13, 21]
SHAPES = [(0.2, 0.2, 0.0), (3.0, 0.4, 0.7), (1.3, 2.6, -2.9), (0.7, 1.5, np.pi / 2)]
"""sigma_x, sigma_y, angle."""
BETAS = [0.5, 1.0, 1.7, 4.0]
OMEGAS = [np.pi / 5, np.pi / 3, 2.0, np.pi]
J1 = 1e-7
"""torch's J1 errs by up to 5e-7, at 5; less than float32 can hold, in which frames are filtered."""


def grid(size: int) -> np.ndarray:
    """x and y of every tap, ``size size 2``."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return np.stack([x, y], axis=-1)


def quadratic_form(size: int, sigma_x: float, sigma_y: float, angle: float) -> np.ndarray:
    """x^T Sigma^-1 x, Sigma = U diag(sigma_x^2, sigma_y^2) U^T with U the rotation by ``angle``."""
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    inverse = np.linalg.inv(rotation @ np.diag([sigma_x**2, sigma_y**2]) @ rotation.T)
    return np.einsum("yxi,ij,yxj->yx", grid(size), inverse, grid(size))


def low_pass(size: int, omega: float) -> np.ndarray:
    r = np.linalg.norm(grid(size), axis=-1)
    with np.errstate(invalid="ignore"):
        kernel = omega * j1(omega * r) / (2 * np.pi * r)
    kernel[size // 2, size // 2] = omega**2 / (4 * np.pi)
    return kernel


def assert_same(kernel: Tensor, reference: np.ndarray, atol: float = 1e-15) -> None:
    assert kernel.dtype == torch.float64
    np.testing.assert_allclose(kernel.numpy(), reference / reference.sum(), rtol=1e-9, atol=atol)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_gaussian_is_the_density_of_its_covariance(size: int, shape: tuple[float, float, float]) -> None:
    assert_same(blur_kernels.gaussian(size, *shape), np.exp(-quadratic_form(size, *shape) / 2))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("beta", BETAS)
def test_beta_is_the_power_of_the_quadratic_form(
    size: int, shape: tuple[float, float, float], beta: float
) -> None:
    form = quadratic_form(size, *shape)
    assert_same(blur_kernels.generalized_gaussian(size, beta, *shape), np.exp(-(form**beta) / 2))
    assert_same(blur_kernels.plateau(size, beta, *shape), 1 / (1 + form**beta))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("omega", OMEGAS)
def test_sinc_is_a_disc_of_frequencies(size: int, omega: float) -> None:
    assert_same(blur_kernels.sinc(size, omega), low_pass(size, omega), atol=J1)


def elliptic(size: int, sigma_x: float, sigma_y: float | None, angle: float, beta: float) -> list[Tensor]:
    return [
        blur_kernels.gaussian(size, sigma_x, sigma_y, angle),
        blur_kernels.generalized_gaussian(size, beta, sigma_x, sigma_y, angle),
        blur_kernels.plateau(size, beta, sigma_x, sigma_y, angle),
    ]


ELLIPSES = [
    kernel
    for size in SIZES
    for sigmas in SHAPES
    for beta in BETAS
    for kernel in elliptic(size, *sigmas, beta)
]
DISCS = [
    *(kernel for size in SIZES for beta in BETAS for kernel in elliptic(size, 1.2, None, 0, beta)),
    *(blur_kernels.sinc(size, omega) for size in SIZES for omega in OMEGAS),
]


def test_every_kernel_sums_to_one_and_is_its_own_half_turn() -> None:
    for kernel in ELLIPSES + DISCS:
        assert kernel.sum().item() == pytest.approx(1, abs=1e-12)
        torch.testing.assert_close(kernel, kernel.flip(0, 1), rtol=1e-12, atol=1e-15)


def test_isotropic_kernels_are_their_own_quarter_turn_and_mirror_image() -> None:
    for kernel in DISCS:
        torch.testing.assert_close(kernel, kernel.rot90(), rtol=1e-12, atol=1e-15)
        torch.testing.assert_close(kernel, kernel.flip(1), rtol=1e-12, atol=1e-15)


def test_without_sigma_y_sigma_x_stands_for_both_and_the_angle_for_nothing() -> None:
    for one, both in zip(elliptic(13, 1.2, None, 0, 1.5), elliptic(13, 1.2, 1.2, 0.8, 1.5), strict=True):
        torch.testing.assert_close(one, both)


@pytest.mark.parametrize(("sigma_x", "sigma_y", "angle"), SHAPES[1:])
def test_a_quarter_turn_swaps_the_sigmas(sigma_x: float, sigma_y: float, angle: float) -> None:
    turned = elliptic(21, sigma_x, sigma_y, angle + np.pi / 2, 1.5)
    swapped = elliptic(21, sigma_y, sigma_x, angle, 1.5)
    given = elliptic(21, sigma_x, sigma_y, angle, 1.5)
    for kernel, other, before in zip(turned, swapped, given, strict=True):
        torch.testing.assert_close(kernel, other, rtol=1e-9, atol=1e-15)
        torch.testing.assert_close(kernel, before.rot90(), rtol=1e-9, atol=1e-15)
        assert apart(kernel, before, 1e-5)


def test_without_an_angle_sigma_x_is_the_width_along_rows() -> None:
    for kernel in elliptic(21, 3.0, 0.5, 0, 1.5):
        assert kernel[10].var() > 2 * kernel[:, 10].var() or kernel[10, 13] > 10 * kernel[13, 10]


def test_a_wide_gaussian_has_its_covariance() -> None:
    kernel = blur_kernels.gaussian(41, 3.0, 1.5, 0.6).numpy()
    covariance = np.einsum("yx,yxi,yxj->ij", kernel, grid(41), grid(41))
    eigenvalues, axes = np.linalg.eigh(covariance)
    np.testing.assert_allclose(eigenvalues, [1.5**2, 3.0**2], rtol=1e-3)
    assert np.arctan2(axes[1, 1], axes[0, 1]) % np.pi == pytest.approx(0.6, abs=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_beta_one_makes_a_gaussian(shape: tuple[float, float, float]) -> None:
    torch.testing.assert_close(
        blur_kernels.generalized_gaussian(13, 1, *shape),
        blur_kernels.gaussian(13, *shape),
        rtol=1e-12,
        atol=1e-15,
    )


def test_the_larger_beta_the_flatter_the_top() -> None:
    for make in (blur_kernels.generalized_gaussian, blur_kernels.plateau):
        slopes = [kernel[10, 11] / kernel[10, 10] for kernel in (make(21, beta, 3.0) for beta in BETAS)]
        assert rise(slopes)


@pytest.mark.parametrize("omega", [np.pi / 3, 1.6, 2.4])
@pytest.mark.parametrize(("size", "ripple"), [(21, 0.2), (81, 0.1)])
def test_sinc_passes_what_is_below_its_cutoff_and_stops_what_is_above(
    omega: float, size: int, ripple: float
) -> None:
    padded = np.pad(blur_kernels.sinc(size, omega).numpy(), (255 - size) // 2)
    response = np.fft.fft2(np.fft.ifftshift(padded)).real
    frequency = 2 * np.pi * np.fft.fftfreq(255)
    radius = np.hypot(frequency, frequency[:, None])
    skirt = 2 * np.pi / size  # what so few taps cannot tell apart
    below = response[radius < omega - skirt]
    above = response[(radius > omega + skirt) & (radius < np.pi)]
    for band, wanted in [(below, 1), (above, 0)]:
        assert band.mean() == pytest.approx(wanted, abs=ripple / 2)
        np.testing.assert_allclose(band, wanted, atol=ripple)
    assert response[np.abs(radius - omega) < 0.03].mean() == pytest.approx(0.5, abs=0.06)


def test_sinc_rings() -> None:
    step = torch.cat([torch.zeros(40), torch.ones(40)]).double()
    profile = torch.conv1d(step[None, None], blur_kernels.sinc(21, np.pi / 3).sum(0)[None, None])[0, 0]
    assert profile.min() < -0.05
    assert profile.max() > 1.05
    assert (blur_kernels.sinc(21, np.pi / 3) < 0).any()


@pytest.mark.parametrize("size", SIZES)
def test_basicsr_makes_the_same_kernels(basicsr, size: int) -> None:
    for sigma_x, sigma_y, angle in SHAPES:
        isotropic, shape = (sigma_x, sigma_y, angle), {"isotropic": False}
        assert_same(
            blur_kernels.gaussian(size, *isotropic), basicsr.bivariate_Gaussian(size, *isotropic, **shape)
        )
        for beta in BETAS:
            assert_same(
                blur_kernels.generalized_gaussian(size, beta, *isotropic),
                basicsr.bivariate_generalized_Gaussian(size, *isotropic, beta, **shape),
            )
            assert_same(
                blur_kernels.plateau(size, beta, *isotropic),
                basicsr.bivariate_plateau(size, *isotropic, beta, **shape),
            )
    for omega in OMEGAS:
        with np.errstate(invalid="ignore"):
            assert_same(blur_kernels.sinc(size, omega), basicsr.circular_lowpass_kernel(omega, size), atol=J1)

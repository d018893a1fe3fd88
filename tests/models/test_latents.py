"""Latents lose nothing at nano, and keep SVD's two scales."""

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvsr.models.autoencoder import HaarAutoencoder
from dcvsr.models.latents import ResidualLatents, SVDLatents
from dcvsr.runtime.cli import CONF


def test_the_haar_basis_is_orthonormal():
    basis = HaarAutoencoder().basis.double()
    torch.testing.assert_close(basis @ basis.T, torch.eye(48, dtype=torch.float64), atol=1e-6, rtol=0)


@settings(max_examples=20)
@given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6))
def test_decoding_inverts_encoding(frames, rows, columns):
    video = torch.rand(1, frames, 3, 4 * rows, 4 * columns)
    haar = HaarAutoencoder()
    assert haar.encode(video).shape == (1, frames, 48, rows, columns)
    torch.testing.assert_close(haar.decode(haar.encode(video)), video, atol=1e-5, rtol=0)


def test_gray_has_no_chroma_and_flat_has_no_detail():
    gray = torch.rand(1, 1, 1, 8, 8).expand(-1, -1, 3, -1, -1)
    assert HaarAutoencoder().encode(gray)[:, :, 16:].abs().max() < 1e-6
    flat = torch.full((1, 1, 3, 8, 8), 0.3)
    coefficients = HaarAutoencoder().encode(flat)
    assert coefficients[:, :, 1:].abs().max() < 1e-6
    torch.testing.assert_close(coefficients[:, :, 0], torch.full((1, 1, 2, 2), 0.3 * 48**0.5))


def test_nano_s_residual_latents_give_back_the_truth_and_zero_is_bicubic():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        latents = instantiate(compose("upscale", ["input=a", "output=b"]).model.latents)
    hr, up = torch.rand(2, 1, 3, 3, 16, 24)
    y, l = latents.target(hr, up), latents.condition(up)
    torch.testing.assert_close(latents.decode(y, l), hr, atol=1e-5, rtol=0)
    torch.testing.assert_close(latents.decode(torch.zeros_like(y), l), up, atol=1e-5, rtol=0)


def test_svd_scales_what_it_estimates_and_not_what_it_is_shown():
    hr, up = torch.rand(2, 1, 3, 3, 16, 24)
    haar = HaarAutoencoder()
    latents = SVDLatents(haar, 0.18215)
    torch.testing.assert_close(latents.condition(up), haar.encode(up))
    torch.testing.assert_close(latents.target(hr, up), 0.18215 * haar.encode(hr))
    torch.testing.assert_close(latents.decode(latents.target(hr, up), up), hr, atol=1e-5, rtol=0)


def _residual(least_contrast: float, window: int = 3) -> ResidualLatents:
    ones, zeros = [1.0] * 48, [0.0] * 48
    return ResidualLatents(HaarAutoencoder(), [0, 16, 32], ones, zeros, ones, window, least_contrast)


def test_residual_and_condition_are_measured_by_the_contrast_around_them():
    """In float64 from the definition: the deviation of blocks' luma over 3x3 blocks, fewer at the border."""
    hr, up = torch.rand(2, 1, 2, 3, 16, 24)
    latents = _residual(least_contrast=0.1)
    luma = up[0].double().mean(dim=1)
    blocks = torch.stack(
        [luma[:, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4].mean(dim=(1, 2)) for i in range(4) for j in range(6)]
    ).T.reshape(2, 4, 6)
    contrast = torch.empty(2, 4, 6, dtype=torch.float64)
    for i in range(4):
        for j in range(6):
            around = blocks[:, max(0, i - 1) : i + 2, max(0, j - 1) : j + 2]
            contrast[:, i, j] = (around.var(dim=(1, 2), correction=0) + 0.1**2).sqrt()
    of_hr, of_up = (HaarAutoencoder().encode(video).double() for video in (hr, up))
    y = latents.target(hr, up)
    torch.testing.assert_close(y, ((of_hr - of_up) / contrast[None, :, None]).float())
    l = latents.condition(up).double()
    torch.testing.assert_close(l[:, :, [0, 16, 32]], of_up[:, :, [0, 16, 32]])
    fine = [k for k in range(48) if k % 16]
    expected = of_up[:, :, fine] / contrast[None, :, None]
    torch.testing.assert_close(l[:, :, fine], expected, atol=1e-5, rtol=1e-4)


@settings(max_examples=20)
@given(st.floats(0.1, 1), st.floats(-0.5, 0.5))
def test_detail_is_the_same_at_any_contrast_and_brightness(contrast, brightness):
    hr, up = torch.rand(2, 1, 2, 3, 16, 24)
    latents = _residual(least_contrast=0)
    fainter, its_up = (contrast * video + brightness for video in (hr, up))
    torch.testing.assert_close(latents.target(fainter, its_up), latents.target(hr, up), atol=1e-3, rtol=1e-3)
    there, here = latents.condition(its_up)[:, :, 1:16], latents.condition(up)[:, :, 1:16]
    torch.testing.assert_close(there, here, atol=1e-3, rtol=1e-3)


def test_where_nothing_is_to_be_seen_the_least_contrast_remains():
    up = torch.full((1, 1, 3, 16, 16), 0.3)
    hr = torch.rand_like(up)
    residual = HaarAutoencoder().encode(hr) - HaarAutoencoder().encode(up)
    torch.testing.assert_close(_residual(least_contrast=0.02).target(hr, up), residual / 0.02)

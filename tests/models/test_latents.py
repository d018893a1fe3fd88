"""Latents lose nothing at nano, and keep SVD's two scales."""

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvsr.cli import CONF
from dcvsr.models.autoencoder import HaarAutoencoder
from dcvsr.models.latents import SVDLatents


def test_the_haar_basis_is_orthonormal():
    basis = HaarAutoencoder().basis.double()
    torch.testing.assert_close(basis @ basis.T, torch.eye(48, dtype=torch.float64), atol=1e-6, rtol=0)


@settings(max_examples=20, deadline=None)
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

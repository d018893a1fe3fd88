"""The upscaler takes any length and size, and its pieces do what they say."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvsr.baselines.interpolation import Bicubic
from dcvsr.diffusion.guidance import CFG, NoGuidance
from dcvsr.diffusion.sampler import Euler
from dcvsr.models.autoencoder import HaarAutoencoder
from dcvsr.models.denoiser import Condition, Denoiser
from dcvsr.models.image_encoder import ZeroEmbedding
from dcvsr.models.latents import ResidualLatents
from dcvsr.models.svd import new_unet
from dcvsr.models.tiled import TiledDenoiser
from dcvsr.models.upscaler import Upscaler, _pad
from dcvsr.tiling.grid import TileGrid


class ZeroDenoiser(torch.nn.Module):
    """Estimates no detail: the upscaler around it is bicubic."""

    origin = None

    def forward(self, x, sigma, condition):
        return torch.zeros_like(x)


class LinearDenoiser(torch.nn.Module):
    """Acts on every position alone, so tiling cannot change it."""

    origin = None

    def forward(self, x, sigma, condition):
        return x / (1 + sigma[:, None, None, None, None] ** 2) + 0.1 * condition.latent


def make(denoiser, size=8, frames=4, overlap=0.25, guidance=None, seed=0) -> Upscaler:
    return Upscaler(
        denoiser,
        ResidualLatents(HaarAutoencoder(), [0.1] * 48, [0.0] * 48, [1.0] * 48),
        ZeroEmbedding(32),
        Euler(3, 0.1, 10, 7),
        guidance or NoGuidance(),
        TileGrid(size, frames, overlap),
        0.1,
        torch.float32,
        seed,
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.integers(1, 19), st.integers(1, 19))
def test_no_detail_is_bicubic_at_any_length_and_size(frames, height, width):
    lr = torch.rand(frames, 3, height, width)
    hr = make(ZeroDenoiser())(lr)
    assert hr.shape == (frames, 3, 4 * height, 4 * width)
    torch.testing.assert_close(hr, Bicubic(4)(lr), atol=1e-5, rtol=0)


def test_the_tiling_cannot_be_seen_through_a_pointwise_denoiser():
    """Noise, blending and padding know nothing of the tiles."""
    lr = torch.rand(7, 3, 20, 17)
    one = make(LinearDenoiser(), size=32, frames=8)(lr)
    for size, frames, overlap in [(8, 4, 0.5), (16, 3, 0.0), (5, 2, 0.3)]:
        torch.testing.assert_close(make(LinearDenoiser(), size, frames, overlap)(lr), one, atol=1e-4, rtol=0)


def test_guiding_then_merging_is_merging_then_guiding():
    x, l = torch.randn(2, 4, 48, 12, 12)
    windows = TileGrid(8, 2, 0.5).windows(4, 12, 12)
    tiles = [tile for window in windows for tile in window]

    def estimate(guidance, latent):
        conditions = [Condition(latent[tile.index][None], torch.zeros(1, 1, 1)) for tile in tiles]
        return TiledDenoiser(LinearDenoiser(), guidance, windows, conditions, 0.1)(x, 2.0, 0)  # type: ignore

    u, c = estimate(NoGuidance(), torch.zeros_like(l)), estimate(NoGuidance(), l)
    torch.testing.assert_close(estimate(CFG(1.5), l), u + 2.5 * (c - u), atol=1e-5, rtol=1e-5)


def test_the_seed_alone_decides():
    lr = torch.rand(2, 3, 8, 8)
    unet = new_unet(48, [32, 32], [1, 1], layers=1, embedding=32, frames=4)
    denoiser = Denoiser(unet, [8, 127, 0])
    first, again, other = (make(denoiser, seed=seed)(lr) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_latents_are_float32_whatever_the_precision_around():
    lr = torch.rand(2, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = make(LinearDenoiser())(lr)
    assert torch.equal(mixed, make(LinearDenoiser())(lr))


def test_work_counts_every_tile_of_every_step():
    upscaler, ticks = make(ZeroDenoiser()), []
    upscaler(torch.rand(6, 3, 15, 9), lambda: ticks.append(1))
    assert len(ticks) == upscaler.work(6, 15, 9) > 3


@pytest.mark.parametrize("to", [5, 9, 23])
def test_padding_reflects_as_often_as_it_takes(to):
    row = torch.arange(4.0).reshape(1, 1, 1, 4)
    padded = _pad(row, 3, 1, to)
    assert padded.shape == (3, 1, 1, to)
    assert padded[2, 0, 0].tolist() == ([0, 1, 2, 3, 3, 2, 1, 0] * 3)[:to]

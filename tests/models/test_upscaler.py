"""The upscaler takes any length and size, and its pieces do what they say."""

from contextlib import nullcontext

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvsr.attention.branches import own
from dcvsr.attention.exchange import lockstep
from dcvsr.attention.propagation import Alternating, NoPropagation, SpatialPropagation, countdown
from dcvsr.attention.selection import both
from dcvsr.baselines.interpolation import Bicubic
from dcvsr.diffusion.guidance import CFG, DSSAG, NoGuidance
from dcvsr.diffusion.noise import gaussian_noise
from dcvsr.diffusion.sampler import Euler, Heun
from dcvsr.models.autoencoder import HaarAutoencoder
from dcvsr.models.denoiser import Denoiser
from dcvsr.models.image_encoder import ZeroEmbedding
from dcvsr.models.latents import ResidualLatents
from dcvsr.models.svd import new_unet
from dcvsr.models.upscaler import Upscaler
from dcvsr.tiling.grid import TileGrid, shifted, to_whole_strides
from tests.attention.making import tap


class ZeroDenoiser(torch.nn.Module):
    """Estimates no detail: the upscaler around it is bicubic."""

    origin = None
    propagated = nullcontext

    def forward(self, x, sigma, condition):
        return torch.zeros_like(x)


class LinearDenoiser(torch.nn.Module):
    """Acts on every position alone, so tiling cannot change it."""

    origin = None
    propagated = nullcontext

    def forward(self, x, sigma, condition):
        return x / (1 + sigma[:, None, None, None, None] ** 2) + 0.1 * condition.latent


GRID = TileGrid(8, 4, 0.25)


def make(denoiser, grid: TileGrid = GRID, **changed) -> Upscaler:
    parts = {
        "latents": ResidualLatents(HaarAutoencoder(), [0.1] * 48, [0.0] * 48, [1.0] * 48),
        "image_encoder": ZeroEmbedding(32),
        "sampler": Euler(3, 0.1, 10, 7),
        "guidance": NoGuidance(),
        "propagation": NoPropagation(),
        "blend": 0.1,
        "blend_time": 0.1,
        "batch": 1,
        "precision": torch.float32,
        "seed": 0,
    }
    return Upscaler(denoiser=denoiser, grid=grid, **{**parts, **changed})


GRIDS = [
    TileGrid(8, 4, 0.5),
    TileGrid(16, 3, 0.0),
    TileGrid(5, 2, 0.3),
    TileGrid(8, 4, 0.0, shifted),
    TileGrid(8, 4, 0.5, border=to_whole_strides),
]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.integers(1, 19), st.integers(1, 19))
def test_no_detail_is_bicubic_at_any_length_and_size(frames, height, width):
    lr = torch.rand(frames, 3, height, width)
    hr = make(ZeroDenoiser())(lr)
    assert hr.shape == (frames, 3, 4 * height, 4 * width)
    torch.testing.assert_close(hr, Bicubic(4)(lr), atol=1e-5, rtol=0)


@pytest.mark.parametrize("solver", [Euler, Heun])
@pytest.mark.parametrize("guidance", [NoGuidance(), CFG(1.5), DSSAG(1.5, 0.5, 0.1, 10)])
def test_the_tiling_cannot_be_seen_through_a_pointwise_denoiser(guidance, solver):
    """Noise, blending, padding and guidance know nothing of the tiles."""
    lr = torch.rand(7, 3, 20, 17)
    changed = {"guidance": guidance, "sampler": solver(3, 0.1, 10, 7)}
    one = make(LinearDenoiser(), TileGrid(32, 8, 0.25), **changed)(lr)
    for grid in GRIDS:
        torch.testing.assert_close(make(LinearDenoiser(), grid, **changed)(lr), one, atol=1e-4, rtol=0)


def test_the_same_seed_gives_the_same_x_t_whatever_the_tiling():
    class Started(Exception):
        pass

    class Stopped(Euler):
        def __call__(self, denoise, noise):
            raise Started(noise)

    noises = []
    for grid in GRIDS:
        with pytest.raises(Started) as started:
            make(LinearDenoiser(), grid, sampler=Stopped(3, 0.1, 10, 7), seed=5)(torch.rand(7, 3, 20, 17))
        noises.append(started.value.args[0][:7, :, :20, :17])
    expected = torch.cat([gaussian_noise(5, range(f, f + 1), 48, range(20), range(17)) for f in range(7)])
    assert all(torch.equal(noise, expected) for noise in noises)


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


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("solver", [Euler, Heun])
@pytest.mark.parametrize("direction", [{}, {"direction": both}])
def test_work_counts_every_tile_of_every_step(grid, solver, direction):
    propagation = Alternating(SpatialPropagation(0.25, lockstep), tap(**direction), countdown, own)
    upscaler = make(ZeroDenoiser(), grid, sampler=solver(3, 0.1, 10, 7), propagation=propagation)
    ticks = []
    upscaler(torch.rand(6, 3, 15, 9), lambda: ticks.append(1))
    assert len(ticks) == upscaler.work(6, 15, 9) >= len(upscaler.sampler.evaluations)


def test_what_a_guidance_makes_of_a_state_is_its_estimate_there():
    lr = torch.rand(3, 3, 8, 8)
    upscaler = make(LinearDenoiser(), sampler=Euler(4, 0.1, 10, 7))
    last, again, guided = upscaler.estimates(lr, 3, [NoGuidance(), NoGuidance(), CFG(1.5)])
    torch.testing.assert_close(last, upscaler(lr))  # a last step lands on D
    assert torch.equal(last, again)
    assert not torch.allclose(last, guided)

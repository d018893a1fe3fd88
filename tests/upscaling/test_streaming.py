"""Streaming through stores, in memory or on disk, gives what the whole video at once gives."""

import tempfile
from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dcvsr.diffusion.initial_noise import gaussian_noise
from dcvsr.diffusion.sampler import Sampler
from dcvsr.imaging import upsample
from dcvsr.models.autoencoder import HaarAutoencoder
from dcvsr.models.clip_condition import LRClip
from dcvsr.models.denoiser import Condition
from dcvsr.models.latents import ResidualLatents
from dcvsr.models.upscaler import TiledUpscaler
from dcvsr.tiling.grid import TileGrid
from dcvsr.upscaling.job_folder import JobFolder
from tests.conftest import under_stress
from tests.models.test_upscaler import LinearDenoiser, make

EXAMPLES, PIXELS = (200, 20_000) if under_stress() else (10, 5_000)


class Chunked(HaarAutoencoder):
    """Decoded in chunks that share up to half their frames."""

    def __init__(self, chunk: int) -> None:
        super().__init__()
        self.chunk, self.overlap = chunk, chunk // 2


@st.composite
def sizes(draw):
    """Frames, height and width; large frames are few, so that an example takes at most a second."""
    height, width = draw(st.integers(1, 130)), draw(st.integers(1, 130))
    return draw(st.integers(1, min(60, max(1, PIXELS // (height * width))))), height, width


def at_once(upscaler: TiledUpscaler, lr: Tensor) -> Tensor:
    """Upscale without tiles, windows, chunks or stores; the denoiser must be pointwise."""
    frames, _, height, width = lr.shape
    up = upsample(lr)
    l = upscaler.latents.condition(up[None])
    condition = Condition(l, torch.zeros(1, 1, 32))
    noise = gaussian_noise(upscaler.seed, range(frames), 48, range(height), range(width))[None]
    y = upscaler.sampler(lambda x, sigma, _: upscaler.denoiser(x, torch.tensor([sigma]), condition), noise)
    return upscaler.latents.decode(y, l)[0].clamp(0, 1)


def on_disk(upscaler: TiledUpscaler, lr: Tensor) -> Tensor:
    with tempfile.TemporaryDirectory() as path:
        folder = JobFolder(Path(path) / "hr")
        with folder.locked():
            job = upscaler.job(LRClip.of(lr), folder.shot(0), lr.device, save_every=3)
            return torch.cat([*job()])


@settings(max_examples=EXAMPLES)
@given(
    sizes(), st.sampled_from(["overlap", "shifted"]), st.sampled_from(["euler", "heun"]), st.integers(1, 9)
)
def test_streamed_on_disk_and_in_memory_are_the_whole_at_once(size, schedule, solver, chunk):
    """Any length and size, tile schedule and solver, with a pointwise denoiser in closed form."""
    frames, height, width = size
    lr = torch.rand(frames, 3, height, width, generator=torch.Generator().manual_seed(0))
    latents = ResidualLatents(Chunked(chunk), [0], [0.1] * 48, [0.0] * 48, [1.0] * 48, 1, 0.02)
    changed = {"sampler": Sampler(2, 0.1, 10, 7, solver), "latents": latents}
    upscaler = make(LinearDenoiser(), TileGrid(16, 5, 0.25, schedule), **changed)
    streamed = upscaler(lr)
    torch.testing.assert_close(streamed, at_once(upscaler, lr), atol=1e-4, rtol=0)
    assert torch.equal(on_disk(upscaler, lr), streamed)

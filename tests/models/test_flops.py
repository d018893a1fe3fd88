"""FLOPs without running anything are those of running it."""

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import AutoencoderKLTemporalDecoder
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from dcvsr.attention.propagation import NoPropagation
from dcvsr.diffusion.guidance import NoGuidance
from dcvsr.diffusion.sampler import Sampler
from dcvsr.imaging import upsample
from dcvsr.models.denoiser import Condition, Denoiser
from dcvsr.models.flops import Flops
from dcvsr.models.latents import SVDLatents
from dcvsr.models.svd import CLIPImageEncoder, new_unet
from dcvsr.models.svd_autoencoder import SVDAutoencoder
from dcvsr.models.upscaler import TiledUpscaler
from dcvsr.tiling.grid import TileGrid


def real(run) -> int:
    """Of a run on the CPU, whose fused attention torch's counter does not know."""
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


@pytest.fixture(scope="module")
def flops() -> Flops:
    torch.manual_seed(0)
    vae = AutoencoderKLTemporalDecoder(
        block_out_channels=(32, 32), down_block_types=("DownEncoderBlock2D",) * 2, latent_channels=4
    )
    clip = CLIPVisionConfig(
        hidden_size=32, intermediate_size=37, projection_dim=32, num_hidden_layers=2, num_attention_heads=4
    )
    return Flops(
        TiledUpscaler(
            upsample,
            Denoiser(new_unet(4, [32, 32, 64, 64], [1, 1, 2, 2], 1, 32, 4), [8, 127, 0]),
            SVDLatents(SVDAutoencoder(vae, chunk=2), 0.18215),
            CLIPImageEncoder(CLIPVisionModelWithProjection(clip)),
            Sampler(2, 1, 10, 7),
            NoGuidance(),
            NoPropagation(),
            TileGrid(8, 4, 0.5),
            blend=0.1,
            blend_time=0.1,
            batch=1,
            precision=torch.float32,
            seed=0,
        )
    )


@settings(max_examples=5)
@given(st.integers(1, 2), st.integers(1, 5), st.integers(9, 18), st.integers(9, 18))
def test_an_evaluation_of_any_size_costs_what_the_real_one_does(flops, tiles, frames, rows, columns):
    x = torch.rand(tiles, frames, 4, rows, columns)
    condition = Condition(x, torch.rand(tiles, 1, 32))
    assert tiles * flops.evaluation(frames, rows, columns) == real(
        lambda: flops.upscaler.denoiser(x, torch.ones(tiles), condition)
    )


def test_the_vae_costs_what_the_real_one_does(flops):
    video, latents = torch.rand(1, 5, 3, 24, 16), flops.upscaler.latents
    assert 5 * flops.encoding(24, 16) == real(lambda: latents.condition(video)) > 0
    assert 5 * flops.target(24, 16) == real(lambda: latents.target(video, video)) > 0
    decoded = sum(frames for frames, _, _ in latents.autoencoder.decoded_sizes(5, 24, 16))
    assert decoded * flops.decoding(24, 16) == real(lambda: latents.decode(torch.rand(1, 5, 4, 12, 8), None))


@pytest.mark.parametrize(("settings", "parts"), [({}, 2), ({"tile": 8, "tile_overlap": 0.25}, 4)])
def test_frames_and_pixels_that_parts_share_are_decoded_twice(flops, settings, parts):
    coder = SVDAutoencoder(flops.upscaler.latents.autoencoder.vae, chunk=3, overlap=1, **settings)
    sizes = coder.decoded_sizes(5, 24, 16)
    assert len(sizes) == parts
    assert sum(frames * flops.decoding(*part) for frames, *part in sizes) == real(
        lambda: coder.decode(torch.rand(1, 5, 4, 12, 8))
    )


def test_the_image_encoder_costs_what_the_real_one_does(flops):
    assert flops.image == real(lambda: flops.upscaler.image_encoder(torch.rand(1, 3, 40, 32))) > 0


def test_counting_leaves_the_weights_where_they_are(flops):
    flops.evaluation(2, 8, 8)
    parts = flops.upscaler.denoiser, flops.upscaler.latents.autoencoder
    assert {tensor.device.type for part in parts for tensor in part.state_dict().values()} == {"cpu"}
    assert {tensor.device.type for tensor in flops._meta[0].state_dict().values()} == {"meta"}

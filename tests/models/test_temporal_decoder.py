"""The decoder in pieces gives what diffusers gives at once, and no layer sees a whole clip."""

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import AutoencoderKLTemporalDecoder
from diffusers.models.resnet import ResnetBlock2D

from dcvsr.models.temporal_decoder import decoded


@pytest.fixture(scope="module", params=[1, 2], ids=["no attention", "attention"])
def vae(request) -> AutoencoderKLTemporalDecoder:
    """SVD's VAE with few channels and random weights; no two layers, groups or mixtures are alike."""
    torch.manual_seed(0)
    vae = AutoencoderKLTemporalDecoder(
        block_out_channels=(32, 64, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        layers_per_block=request.param,
    )
    for parameter in vae.decoder.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return vae.requires_grad_(False).eval()


@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 8, 6), (7, 3, 4), (5, 1, 9)], ids=str)
def test_pieces_decode_to_what_diffusers_decodes_at_once(vae, shape):
    frames, rows, columns = shape
    latent = 5 * torch.randn(frames, 4, rows, columns)
    before, theirs = latent.clone(), vae.decode(latent, num_frames=frames).sample
    torch.testing.assert_close(decoded(vae.decoder, latent), theirs, atol=1e-5, rtol=1e-5)
    assert torch.equal(latent, before)


def test_the_statistics_of_a_clip_whose_frames_differ_are_those_of_all_frames(vae):
    """Brightness that changes from frame to frame reaches the temporal normalisation as a large variance."""
    latent = torch.randn(4, 4, 6, 6) + 30 * torch.arange(4)[:, None, None, None]
    theirs = vae.decode(latent, num_frames=4).sample
    torch.testing.assert_close(decoded(vae.decoder, latent), theirs, atol=1e-5, rtol=1e-5)


def test_no_layer_sees_more_than_the_largest_frame(vae):
    sizes, hooks = [], []
    for layer in vae.decoder.modules():
        if isinstance(layer, ResnetBlock2D | torch.nn.Conv3d | torch.nn.GroupNorm):
            hooks.append(layer.register_forward_pre_hook(lambda _, given: sizes.append(given[0].numel())))
    decoded(vae.decoder, torch.randn(6, 4, 6, 6))
    for hook in hooks:
        hook.remove()
    assert max(sizes) == 64 * 24 * 24

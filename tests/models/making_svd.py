"""SVD's five parts, small enough for tests."""

import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import AutoencoderKLTemporalDecoder
from diffusers.pipelines.stable_video_diffusion import StableVideoDiffusionPipeline
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from dcvsr.models.svd import new_unet
from tests.conftest import SVD_SCHEDULER


def small_pipeline(frames: int = 4) -> StableVideoDiffusionPipeline:
    """Make SVD's pipeline with few channels and random weights of one seed."""
    torch.manual_seed(0)
    clip = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=37,
        projection_dim=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        patch_size=56,
    )
    return StableVideoDiffusionPipeline(
        vae=AutoencoderKLTemporalDecoder(
            block_out_channels=(32, 32, 64, 64),
            down_block_types=("DownEncoderBlock2D",) * 4,
            latent_channels=4,
        ),
        image_encoder=CLIPVisionModelWithProjection(clip),
        unet=new_unet(
            latent_channels=4, channels=[32, 64], heads=[1, 2], layers=2, embedding=32, frames=frames
        ),
        scheduler=EulerDiscreteScheduler(**SVD_SCHEDULER),  # type: ignore[arg-type]
        feature_extractor=CLIPImageProcessor(),
    )

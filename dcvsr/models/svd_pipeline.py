"""diffusers' pipeline of Stable Video Diffusion around a trained U-Net."""

import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import AutoencoderKLTemporalDecoder
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from diffusers.pipelines.stable_video_diffusion.pipeline_stable_video_diffusion import (
    StableVideoDiffusionPipeline,
)
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

from dcvsr.weights import snapshot

SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "timestep_type": "continuous",
    "use_karras_sigmas": True,
    "sigma_min": 0.002,
    "sigma_max": 700.0,
    "timestep_spacing": "leading",
    "steps_offset": 1,
}
"""Settings of the scheduler that SVD's weights come with (spec 2.2)."""


def pipeline_of(
    unet: UNetSpatioTemporalConditionModel, source: str, dtype: torch.dtype
) -> StableVideoDiffusionPipeline:
    """Build diffusers' pipeline around ``unet``, with the VAE and CLIP encoder of ``source`` in ``dtype``."""
    vae, image_encoder = snapshot(source, "vae"), snapshot(source, "image_encoder")
    return StableVideoDiffusionPipeline(
        AutoencoderKLTemporalDecoder.from_pretrained(vae, subfolder="vae", torch_dtype=dtype),
        CLIPVisionModelWithProjection.from_pretrained(image_encoder, subfolder="image_encoder", dtype=dtype),
        unet,
        EulerDiscreteScheduler(**SCHEDULER),
        CLIPImageProcessor(),
    )

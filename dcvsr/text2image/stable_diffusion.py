"""Stable Diffusion 1 and 2 by diffusers, for Table 3: pretrained, or small with random weights."""

import hashlib
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from dcvsr.runtime.errors import UserError
from dcvsr.text2image.guided_unet import noise_level

NETWORKS = ("text_encoder", "unet", "vae")

SMALL_VAE: dict[str, Any] = {
    "block_out_channels": (16, 16, 32, 32),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "latent_channels": 4,
    "norm_num_groups": 8,
}
SMALL_UNET: dict[str, Any] = {
    "sample_size": 8,
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 32,
    "attention_head_dim": 4,
    "norm_num_groups": 8,
}
SMALL_TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 77,
}
NOISE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "clip_sample": False,
    "set_alpha_to_one": False,
}
"""Noise schedule of Stable Diffusion."""


def pretrained(weights: str, precision: torch.dtype) -> StableDiffusionPipeline:
    """Load Stable Diffusion with the DDIM sampler.

    Args:
        weights: a folder in diffusers' layout, or a repository on the Hugging Face hub.
        precision: dtype of the weights.

    Raises:
        UserError: if the weights cannot be loaded.
    """
    try:
        pipe = StableDiffusionPipeline.from_pretrained(
            weights, dtype=precision, safety_checker=None, requires_safety_checker=False
        )
    except Exception as error:  # diffusers passes on exceptions of many types
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"cannot load pipeline.weights={weights} ({reason}); give a folder in diffusers' layout, as "
            "`hf download CompVis/stable-diffusion-v1-4 --local-dir FOLDER` makes one"
        ) from error
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    return pipe


def small_random() -> StableDiffusionPipeline:
    """Build a Stable Diffusion for 64x64 pixels with fixed random weights and a letterwise tokenizer."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,'-"
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    text = CLIPTextConfig(
        **SMALL_TEXT, vocab_size=len(words), bos_token_id=len(words) - 2, eos_token_id=len(words) - 1
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        networks: dict[str, Any] = {
            "vae": AutoencoderKL(**SMALL_VAE).eval(),
            "unet": UNet2DConditionModel(**SMALL_UNET).eval(),
            "text_encoder": CLIPTextModel(text).eval(),
        }
    tokenizer = CLIPTokenizer({word: i for i, word in enumerate(words)}, merges=[], model_max_length=77)
    unused: dict[str, Any] = dict.fromkeys(("safety_checker", "feature_extractor"))
    scheduler: Any = DDIMScheduler(**NOISE)
    return StableDiffusionPipeline(
        **networks, **unused, tokenizer=tokenizer, scheduler=scheduler, requires_safety_checker=False
    )


def noise_range(pipe: Any, steps: int) -> tuple[float, float]:
    """Return the last and the first noise level of a pipeline's sampler: sigma_T and sigma_0 of Eq. (10)."""
    pipe.scheduler.set_timesteps(steps)
    last, first = (noise_level(pipe.scheduler, pipe.scheduler.timesteps[i]) for i in (-1, 0))
    return last, first


def digest(pipe: Any) -> str:
    """Return the SHA-256 of all weights in the precision of their use, 64 hexadecimal digits."""
    found = hashlib.sha256()
    for network in NETWORKS:
        for name, tensor in getattr(pipe, network).state_dict().items():
            found.update(name.encode())
            found.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy())
    return found.hexdigest()

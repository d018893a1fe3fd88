"""SVD's networks at their true size on the meta device: for plans, which need no weights."""

import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import AutoencoderKLTemporalDecoder
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from omegaconf import DictConfig, open_dict
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from dcvsr.models.svd import CLIPImageEncoder
from dcvsr.models.svd_autoencoder import SVDAutoencoder


def unet() -> UNetSpatioTemporalConditionModel:
    """Build SVD's U-Net of 1,524,623,082 parameters."""
    return UNetSpatioTemporalConditionModel(num_frames=14, num_attention_heads=(5, 10, 20, 20))


def vae() -> AutoencoderKLTemporalDecoder:
    """Build SVD's VAE."""
    return AutoencoderKLTemporalDecoder(
        block_out_channels=(128, 256, 512, 512),  # type: ignore[arg-type]
        down_block_types=("DownEncoderBlock2D",) * 4,  # type: ignore[arg-type]
        layers_per_block=2,
        latent_channels=4,
        force_upcast=True,
        scaling_factor=0.18215,
    )


def clip() -> CLIPVisionModelWithProjection:
    """Build SVD's CLIP image encoder, ViT-H/14."""
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=1280,
            intermediate_size=5120,
            projection_dim=1024,
            num_hidden_layers=32,
            num_attention_heads=16,
            patch_size=14,
            image_size=224,
            hidden_act="gelu",
        )
    )


def unet_on_meta() -> UNetSpatioTemporalConditionModel:
    """Build the U-Net without data."""
    with torch.device("meta"):
        return unet()


def autoencoder_on_meta(
    chunk: int, overlap: int = 0, tile: int | None = None, tile_overlap: float = 0.25
) -> SVDAutoencoder:
    """Build the VAE without data; see `SVDAutoencoder`."""
    with torch.device("meta"):
        return SVDAutoencoder(vae(), chunk, overlap, tile, tile_overlap)


def image_encoder_on_meta() -> CLIPImageEncoder:
    """Build the image encoder without data."""
    with torch.device("meta"):
        return CLIPImageEncoder(clip())


def without_weights(cfg: DictConfig) -> DictConfig:
    """Return a configuration at ``scale=svd`` with these networks in place of those that are loaded."""
    changed = cfg.copy()
    model = changed.model
    with open_dict(changed):
        changed.upscaler.denoiser = "${model.denoiser}"
        for node, function in (
            (model.denoiser.unet, unet_on_meta),
            (model.latents.autoencoder, autoencoder_on_meta),
            (model.image_encoder, image_encoder_on_meta),
        ):
            node._target_ = f"{__name__}.{function.__name__}"
            for key in ("source", "ckpt", "checkpointing"):
                node.pop(key, None)
    return changed

"""Stable Video Diffusion from diffusers: U-Net and CLIP image encoder.

``source`` is a local folder in diffusers' layout or a repository on the Hugging Face hub. Weights become
float32, whatever the dtype of the files. Autocast lowers the precision of the U-Net where a run asks for it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from diffusers.models.attention import BasicTransformerBlock, FeedForward, TemporalBasicTransformerBlock
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import CLIPVisionModelWithProjection

from dcvsr.runtime.files import read_json
from dcvsr.weights import snapshot
from dcvsr.weights.snapshots import unet_from_snapshot

_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def new_unet(
    latent_channels: int,
    channels: Sequence[int],
    heads: Sequence[int],
    layers: int,
    embedding: int,
    frames: int,
    checkpointing: bool = False,
) -> UNetSpatioTemporalConditionModel:
    """Build a smaller U-Net of SVD's structure with random weights.

    Its last resolution has no attention, as in SVD.

    Args:
        latent_channels: channels of x; l has as many, so the U-Net has twice as many inputs.
        channels: width of each resolution.
        heads: attention heads of each resolution.
        layers: residual blocks (each with an attention stage) per resolution.
        embedding: length of the image embedding.
        frames: clip length.
        checkpointing: recompute activations in backward: see `recompute_activations`.
    """
    attentive = len(channels) - 1
    unet = UNetSpatioTemporalConditionModel(
        in_channels=2 * latent_channels,
        out_channels=latent_channels,
        down_block_types=("CrossAttnDownBlockSpatioTemporal",) * attentive + ("DownBlockSpatioTemporal",),
        up_block_types=("UpBlockSpatioTemporal",) + ("CrossAttnUpBlockSpatioTemporal",) * attentive,
        block_out_channels=tuple(channels),
        num_attention_heads=tuple(heads),
        layers_per_block=layers,
        cross_attention_dim=embedding,
        addition_time_embed_dim=embedding,
        projection_class_embeddings_input_dim=3 * embedding,
        num_frames=frames,
    )
    if checkpointing:
        recompute_activations(unet)
    return unet


def attend_frame_by_frame(unet: UNetSpatioTemporalConditionModel) -> None:
    """Let each frame attend to its own image embedding if the clip has one per frame (spec A12).

    diffusers repeats all embeddings of a clip for each of its frames. A hook on each block selects the
    frame's own embedding; DepthCrafter does so in its forward function. The temporal blocks attend to the
    first frame's embedding, as in SVD. Clips with one embedding are unchanged.
    """
    for block in (*unet.down_blocks, unet.mid_block, *unet.up_blocks):
        if getattr(block, "has_cross_attention", False):
            block.register_forward_pre_hook(_with_own_embedding, with_kwargs=True)


def _with_own_embedding(
    _: nn.Module, args: tuple[object, ...], kwargs: dict[str, Tensor]
) -> tuple[tuple[object, ...], dict[str, Tensor]] | None:
    """Select each frame's embedding: ``(b f) f d``, equal for all frames of a clip, -> ``(b f) 1 d``."""
    embeddings = kwargs["encoder_hidden_states"]
    frames = embeddings.shape[1]
    if frames == 1:
        return None
    own = rearrange(embeddings, "(b f) n d -> b f n d", f=frames).diagonal(dim1=1, dim2=2)
    return args, {**kwargs, "encoder_hidden_states": rearrange(own, "b d f -> (b f) 1 d")}


def pretrained_unet(source: str, ckpt: str | None, checkpointing: bool) -> UNetSpatioTemporalConditionModel:
    """Load SVD's U-Net, or build it without weights if ``ckpt`` provides all of them.

    Args:
        source: of SVD's weights.
        ckpt: the run's checkpoint, see `dcvsr.models.checkpoint.restored`.
        checkpointing: recompute activations in backward: see `recompute_activations`.
    """
    if unet_from_snapshot(ckpt):
        unet = UNetSpatioTemporalConditionModel.from_pretrained(
            snapshot(source, "unet"), subfolder="unet", torch_dtype=torch.float32
        )
    else:
        config = read_json(snapshot(source, "architecture") / "unet/config.json")
        with torch.device("meta"):
            unet = UNetSpatioTemporalConditionModel.from_config(config)
    assert isinstance(unet, UNetSpatioTemporalConditionModel)
    if checkpointing:
        recompute_activations(unet)
    return unet


def recompute_activations(unet: UNetSpatioTemporalConditionModel) -> None:
    """Keep only the inputs of residual blocks and transformers for backward, and compute the rest again.

    diffusers' own gradient checkpointing keeps the activations of all temporal transformer blocks: 35 GB in
    float32 for 14x512x512, against 2.4 GB here, and 4 GB while a transformer is differentiated.
    """
    unet.enable_gradient_checkpointing()
    for module in unet.modules():
        if isinstance(module, TransformerSpatioTemporalModel):
            module.forward = partial(_recomputed, module.forward)


def _recomputed(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, **kwargs)


TOKENS = 1024
"""Tokens that a feed-forward network takes at a time on a CPU: their hidden activations stay in its cache."""


@contextmanager
def feed_forward_in_parts(unet: UNetSpatioTemporalConditionModel) -> Iterator[None]:
    """Let the feed-forward networks of a U-Net take `TOKENS` tokens at a time; undone on exit.

    Each token is computed alone, so the result stays the same.
    """
    networks = [module for module in unet.modules() if isinstance(module, FeedForward)]
    for network in networks:
        network.forward = partial(_in_parts, network.forward)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for network in networks:
            del network.forward


def _in_parts(forward: Callable[..., Tensor], tokens: Tensor) -> Tensor:
    parts = tokens.flatten(0, -2).split(TOKENS)
    return torch.cat([forward(part) for part in parts]).view(tokens.shape)


def compile_blocks(unet: UNetSpatioTemporalConditionModel) -> None:
    """Compile each transformer block at its first call; blocks of equal sizes share their code.

    It works inside of recomputed transformers. A copy of the U-Net is not compiled.
    """
    for module in unet.modules():
        if isinstance(module, BasicTransformerBlock | TemporalBasicTransformerBlock):
            module.compile()


class CLIPImageEncoder(nn.Module):
    """Frozen CLIP image encoder: one token per frame (spec 2.3)."""

    def __init__(self, clip: CLIPVisionModelWithProjection) -> None:
        super().__init__()
        self.clip = clip.requires_grad_(False).eval()
        self.size: int = clip.config.projection_dim

    @torch.no_grad()
    def forward(self, frames: Tensor) -> Tensor:
        """Encode frames ``b c h w`` in [0, 1] to ``b 1 d``."""
        side: int = self.clip.config.image_size  # type: ignore[assignment]
        small = F.interpolate(
            frames.float(), (side, side), mode="bicubic", antialias=True, align_corners=False
        )
        mean, std = (small.new_tensor(v)[:, None, None] for v in (_CLIP_MEAN, _CLIP_STD))
        return self.clip(((small - mean) / std).to(self.clip.dtype)).image_embeds[:, None]


def pretrained_image_encoder(source: str) -> CLIPImageEncoder:
    """Load SVD's CLIP image encoder from ``source``.

    Without ``dtype``, transformers keeps the dtype of the file, and a bfloat16 file is computed in bfloat16.
    """
    clip = CLIPVisionModelWithProjection.from_pretrained(
        snapshot(source, "image_encoder"), subfolder="image_encoder", dtype=torch.float32
    )
    return CLIPImageEncoder(clip)

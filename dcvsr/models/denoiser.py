"""Denoiser D of Eq. (12) around SVD's U-Net, at every scale.

Axes: latent ``b f k h w``; image embeddings ``b n d``, n being 1 or f.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from einops import rearrange
from torch import Tensor, nn

from dcvsr.attention.layer_names import stages
from dcvsr.attention.processor import propagated
from dcvsr.diffusion.preconditioning import scalings
from dcvsr.models.operations import Operations, empty, on_meta
from dcvsr.models.svd import attend_frame_by_frame, feed_forward_in_parts
from dcvsr.runtime.provenance import Origin


@dataclass(frozen=True)
class Condition:
    """Condition c: the LR latent l of every frame, and one CLIP token per clip or per frame (spec A12)."""

    latent: Tensor
    image: Tensor
    noise_augmentation: Tensor | None = None
    """Strength of the pixel noise of each clip, ``b``; None to use the denoiser's ``ids``."""

    @property
    def null(self) -> "Condition":
        """Empty condition: zeros for both parts (spec A10)."""
        return replace(self.without_image, latent=torch.zeros_like(self.latent))

    @property
    def without_image(self) -> "Condition":
        """Condition with l only."""
        return replace(self, image=torch.zeros_like(self.image))

    @classmethod
    def stacked(cls, conditions: Sequence["Condition"]) -> "Condition":
        """Stack conditions of one video on the batch axis; noise augmentation is left to the ids."""
        return cls(torch.cat([c.latent for c in conditions]), torch.cat([c.image for c in conditions]))

    def dropped(self, latent: Tensor, image: Tensor) -> "Condition":
        """Set parts to zero for clips where ``latent`` or ``image`` (``b``, bool) is true (spec A22)."""
        keep_latent, keep_image = (~latent).to(self.latent), (~image).to(self.image)
        return replace(
            self,
            latent=self.latent * keep_latent[:, None, None, None, None],
            image=self.image * keep_image[:, None, None],
        )


class Denoiser(nn.Module):
    """Denoiser D_x = c_skip x + c_out F(c_in x, c, c_noise), with l concatenated per frame (section 3).

    Args:
        unet: F, SVD's U-Net with twice the latent channels as input.
        ids: frame rate, motion and noise augmentation; 8, 127, 0 in the paper's appendix A (spec A13, A14).
    """

    def __init__(self, unet: UNetSpatioTemporalConditionModel, ids: Sequence[float]) -> None:
        super().__init__()
        self.unet = unet
        attend_frame_by_frame(unet)
        self.register_buffer("ids", torch.tensor([list(ids)], dtype=torch.float32), persistent=False)
        self.ids: Tensor
        self.origin: Origin | None = None
        """Checkpoint of the weights, set by ``checkpoint.restored``; None for initial weights."""

    @property
    def embedding_size(self) -> int:
        """Length of the image embedding that the U-Net attends to."""
        return self.unet.config["cross_attention_dim"]

    @contextmanager
    def propagated(self, device: str | None = None) -> Iterator[None]:
        """Enter a context in which the propagated layers follow ``attention.processor.calling``.

        Args:
            device: kind of device to compute as on, such as ``cpu``; None for that of the weights.
        """
        kind = device or next(self.unet.parameters()).device.type
        with propagated(self.unet), feed_forward_in_parts(self.unet) if kind == "cpu" else nullcontext():
            yield

    def stage_shares(self, frames: int, side: int) -> list[float]:
        """Return the share of an evaluation's FLOPs that each residual block and attention stage completes.

        Shares are in execution order. The layers after the last stage have the rest to 1.

        Args:
            frames: frames of a tile.
            side: rows and columns of a tile.
        """
        (meta,) = on_meta([self])
        x, finished = empty(1, frames, meta.unet.config["out_channels"], side, side), [0]
        with torch.no_grad(), Operations() as operations:
            for name in stages(meta.unet):
                stage = meta.unet.get_submodule(name)
                stage.register_forward_hook(lambda *_: finished.append(sum(operations.flops)))
            meta(x, empty(1), Condition(x, empty(1, 1, self.embedding_size)))
        total = sum(operations.flops)
        return [(after - before) / total for before, after in pairwise(finished)]

    def forward(self, x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        """Estimate the clean latent from ``x`` = y + n at noise levels ``sigma``, ``b``: Eq. (12).

        Raises:
            ValueError: if a clip has neither one image embedding nor one per frame.
        """
        if condition.image.shape[1] not in (1, x.shape[1]):
            raise ValueError(f"{condition.image.shape[1]} image embeddings do not fit {x.shape[1]} frames")
        c_skip, c_out, c_in, c_noise = scalings(sigma.float())
        per_clip = "b -> b 1 1 1 1"
        sample = torch.cat([rearrange(c_in, per_clip) * x, condition.latent], dim=2)
        dtype = next(self.unet.parameters()).dtype
        ids = self.ids.expand(len(x), -1)
        if condition.noise_augmentation is not None:
            ids = torch.cat([ids[:, :2], condition.noise_augmentation[:, None].to(ids)], dim=1)
        F_x = self.unet(
            sample.to(dtype),
            c_noise,
            encoder_hidden_states=condition.image.to(dtype),
            added_time_ids=ids,
        ).sample
        return rearrange(c_skip, per_clip) * x + rearrange(c_out, per_clip) * F_x.float()  # Eq. (12)

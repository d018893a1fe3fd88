"""Our guidances in diffusers' Stable Diffusion pipelines: what stands there for the U-Net (Table 3).

A pipeline's scheduler never learns of it: what it takes for the U-Net's prediction is the guided one.

Axes: latents ``b k h w``; prompt embeddings ``b n d``. An image is what a frame is in a video, so maxima of
Eq. (7) per tile would mix the images of a batch.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from torch import Tensor, nn

from dcvsr.attention.processor import Call, calling, propagated
from dcvsr.attention.self_attention import Attend, self_attention
from dcvsr.diffusion.protocols import Guidance
from dcvsr.runtime.errors import UserError

Scalings = tuple[float, float, float]
"""``c_skip, c_out, c_in`` of Eq. (12), at one noise level."""


def _epsilon(sigma: float) -> Scalings:
    return 1, -sigma, (sigma**2 + 1) ** -0.5


def _v_prediction(sigma: float) -> Scalings:
    return 1 / (sigma**2 + 1), -sigma * (sigma**2 + 1) ** -0.5, (sigma**2 + 1) ** -0.5


def _sample(sigma: float) -> Scalings:
    return 0, 1, (sigma**2 + 1) ** -0.5


SCALINGS: dict[str, Callable[[float], Scalings]] = {
    "epsilon": _epsilon,
    "v_prediction": _v_prediction,
    "sample": _sample,
}
"""Karras et al. 2022, Table 1 (VP), by diffusers' name for what the U-Net predicts."""


@dataclass(frozen=True)
class Prompt:
    """c: the embedding of the prompt, and that of the empty or negative one."""

    embedding: Tensor
    empty: Tensor

    @property
    def null(self) -> "Prompt":
        return Prompt(self.empty, self.empty)

    @property
    def without_image(self) -> "Prompt":
        """Raise UserError: a prompt has no image embedding that could be left out."""
        raise UserError("uncond=keep_latent is not a choice for a prompt: choose zero_all or keep_all")


def noise_level(scheduler: Any, timestep: float | Tensor) -> float:
    """sigma at a timestep, which may lie between two of those in training: ln sigma is linear there.

    Raises:
        ValueError: if it is infinite, as with zero terminal SNR.
    """
    alpha = scheduler.alphas_cumprod.double().cpu().numpy()
    with np.errstate(divide="ignore"):
        levels = np.log((1 - alpha) / alpha) / 2
    sigma = math.exp(np.interp(float(timestep), np.arange(len(levels)), levels))
    if not math.isfinite(sigma):
        raise ValueError(f"timestep {float(timestep):g} is all noise; use rescale_betas_zero_snr=False")
    return sigma


class GuidedUNet(nn.Module):
    """A pipeline's U-Net whose prediction is guided; whatever else is asked of it, the U-Net itself answers.

    Attributes:
        iterations: how often the pipeline called it; written by ``forward`` alone, as is
        forwards: how often the U-Net was evaluated for it.
    """

    def __init__(self, pipe: DiffusionPipeline, guidance: Guidance["Prompt"], null: Tensor) -> None:
        super().__init__()
        self.pipe: Any = pipe
        self.unet: Any = pipe.unet  # type: ignore[attr-defined]
        self.guidance = guidance
        self.null = null
        self.iterations = self.forwards = 0

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("unet"), name)

    def forward(
        self,
        sample: Tensor,
        timestep: float | Tensor,
        encoder_hidden_states: Tensor,
        return_dict: bool = True,
        **others: Any,
    ) -> UNet2DConditionOutput | tuple[Tensor]:
        """The guided prediction for ``sample``, x / sqrt(1 + sigma^2), as the U-Net would have made its own.

        Raises:
            ValueError: if the pipeline guides too, or conditions on more than a prompt.
        """
        self._refuse_other_conditions(others)
        sigma = noise_level(self.pipe.scheduler, timestep)
        c_skip, c_out, c_in = SCALINGS[self.pipe.scheduler.config.prediction_type](sigma)

        def denoise(
            x: Tensor,
            sigma: float,
            condition: Prompt,
            attend: Attend = self_attention,
            mid: Attend | None = None,
        ) -> Tensor:
            self.forwards += 1
            inputs = (c_in * x).to(sample.dtype), timestep, condition.embedding
            with calling(Call(attend=attend, mid=mid)):
                (F_x,) = self.unet(*inputs, return_dict=False, **others)
            return c_skip * x + c_out * F_x.to(x.dtype)  # Eq. (12)

        self.iterations += 1
        x = sample.to(torch.promote_types(sample.dtype, torch.float32)) / c_in
        prompt = Prompt(encoder_hidden_states, self._empty(encoder_hidden_states))
        D = self.guidance(denoise, x, sigma, prompt)
        guided = ((D - c_skip * x) / c_out).to(sample.dtype)
        return UNet2DConditionOutput(guided) if return_dict else (guided,)

    def _refuse_other_conditions(self, others: dict[str, Any]) -> None:
        if getattr(self.pipe, "do_classifier_free_guidance", False):
            raise ValueError(
                f"the pipeline guides too, by guidance_scale={self.pipe.guidance_scale}; call it with 1"
            )
        if added := others.get("added_cond_kwargs"):
            raise ValueError(
                f"the pipeline conditions on {', '.join(added)} too, which has no empty counterpart here; "
                "use Stable Diffusion 1 or 2 without adapters"
            )

    def _empty(self, embedding: Tensor) -> Tensor:
        """``null``, as often as images are made of one prompt."""
        times, rest = divmod(len(embedding), len(self.null))
        if rest:
            raise ValueError(f"{len(self.null)} empty prompts cannot go with {len(embedding)} images; use 1")
        return self.null.to(embedding).repeat_interleave(times, dim=0)


@contextmanager
def guided(pipe: DiffusionPipeline, guidance: Guidance["Prompt"], null: Tensor) -> Iterator[GuidedUNet]:
    """Inside, ``pipe(..., guidance_scale=1)`` is guided by ``guidance``; after, it is as it was.

    Args:
        pipe: any with a ``UNet2DConditionModel`` and a scheduler that keeps ``alphas_cumprod``.
        guidance: one of ours. Its scale s is diffusers' ``guidance_scale`` less one.
        null: embedding of the empty or negative prompt, one for all or one for each prompt.

    Raises:
        ValueError: if the U-Net lacks the layers that the method works on.
    """
    unet = pipe.unet  # type: ignore[attr-defined]
    stand_in = GuidedUNet(pipe, guidance, null)
    with propagated(unet):
        pipe.unet = stand_in
        try:
            yield stand_in
        finally:
            pipe.unet = unet

"""Our guidances in diffusers' Stable Diffusion pipelines, by replacing the U-Net (Table 3).

The replacement returns the guided prediction in the U-Net's parametrisation, so that the scheduler works
unchanged.

Axes: latents ``b k h w``; prompt embeddings ``b n d``. An image takes the place of a frame, so maxima of
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
"""``c_skip, c_out, c_in`` of Eq. (12) at one noise level."""


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
"""Scalings of Karras et al. 2022, Table 1 (VP), by diffusers' ``prediction_type``."""


@dataclass(frozen=True)
class Prompt:
    """Condition c: the embeddings of a prompt and of the empty or negative prompt."""

    embedding: Tensor
    empty: Tensor

    @property
    def null(self) -> "Prompt":
        """The empty or negative prompt as the condition."""
        return Prompt(self.empty, self.empty)

    @property
    def without_image(self) -> "Prompt":
        """Raise UserError: a prompt has no image embedding that could be left out."""
        raise UserError("uncond=keep_latent is not a choice for a prompt: choose zero_all or keep_all")


def noise_level(scheduler: Any, timestep: float | Tensor) -> float:
    """Return sigma at a timestep, interpolating ln sigma linearly between training timesteps.

    Raises:
        ValueError: if sigma is infinite, as with zero terminal SNR.
    """
    alpha = scheduler.alphas_cumprod.double().cpu().numpy()
    with np.errstate(divide="ignore"):
        levels = np.log((1 - alpha) / alpha) / 2
    sigma = math.exp(np.interp(float(timestep), np.arange(len(levels)), levels))
    if not math.isfinite(sigma):
        raise ValueError(f"timestep {float(timestep):g} is all noise; use rescale_betas_zero_snr=False")
    return sigma


class GuidedUNet(nn.Module):
    """A pipeline's U-Net with guided predictions; other attributes are those of the U-Net.

    Attributes:
        iterations: number of calls by the pipeline.
        forwards: number of U-Net evaluations.
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
        """Return the guided prediction for ``sample`` = x / sqrt(1 + sigma^2) in the U-Net's parametrisation.

        Raises:
            ValueError: if the pipeline applies guidance too, or conditions on more than a prompt.
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
                f"the pipeline guides too, guidance_scale={self.pipe.guidance_scale}; call it with 1"
            )
        if added := others.get("added_cond_kwargs"):
            raise ValueError(
                f"the pipeline conditions on {', '.join(added)} too, which has no empty counterpart here; "
                "use Stable Diffusion 1 or 2 without adapters"
            )

    def _empty(self, embedding: Tensor) -> Tensor:
        """Repeat ``null`` for the images of each prompt."""
        times, rest = divmod(len(embedding), len(self.null))
        if rest:
            raise ValueError(f"{len(self.null)} empty prompts cannot go with {len(embedding)} images; use 1")
        return self.null.to(embedding).repeat_interleave(times, dim=0)


@contextmanager
def guided(pipe: DiffusionPipeline, guidance: Guidance["Prompt"], null: Tensor) -> Iterator[GuidedUNet]:
    """Apply ``guidance`` to ``pipe(..., guidance_scale=1)`` inside a with block; restore the pipeline after.

    Args:
        pipe: pipeline with a ``UNet2DConditionModel`` and a scheduler that has ``alphas_cumprod``.
        guidance: one of ours. Its scale s equals diffusers' ``guidance_scale`` minus one.
        null: embedding of the empty or negative prompt, one for all prompts or one per prompt.

    Raises:
        ValueError: if the U-Net lacks the layers that the guidance changes.
    """
    unet = pipe.unet  # type: ignore[attr-defined]
    guided_unet = GuidedUNet(pipe, guidance, null)
    with propagated(unet):
        pipe.unet = guided_unet
        try:
            yield guided_unet
        finally:
            pipe.unet = unet

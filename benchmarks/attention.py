"""Propagation: what an exchange costs, and what installed processors cost when they do nothing."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from functools import partial

import torch
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel

from benchmarks.models import Scene, configured
from benchmarks.report import Line
from benchmarks.timing import speedup
from dcvsr.attention.propagation import NoPropagation
from dcvsr.diffusion.guidance import NoGuidance
from dcvsr.models.flops import counted

SAP_STEP, TAP_STEP = 1, 0
"""Step 0 of 25 is t = 25, odd: TAP."""


def lockstep(scene: Scene, pairs: int) -> Iterator[Line]:
    """SAP by one evaluation of each tile, against the paper's figure."""
    one, two = (
        configured("propagation", "propagation=sap", f"propagation.sap.exchange={exchange}")
        for exchange in ("lockstep", "two_pass")
    )
    ratio = speedup(
        partial(scene.denoise, two, NoGuidance()), partial(scene.denoise, one, NoGuidance()), pairs
    )
    yield Line("SAP lockstep, times faster than two_pass", ratio, at_least=1.8)


def idle(scene: Scene, pairs: int) -> Iterator[Line]:
    """Our processors with nothing to do, against diffusers' own."""
    model, ids = scene.model, scene.denoiser.ids
    x = torch.randn(1, model.frames, 2 * model.latent_channels, model.size, model.size, device=ids.device)
    image = x.new_zeros(1, 1, model.embedding)

    @torch.inference_mode()
    def run(unet: UNetSpatioTemporalConditionModel) -> None:
        unet(x.to(unet.dtype), 0.5, encoder_hidden_states=image.to(unet.dtype), added_time_ids=ids)

    ours = deepcopy(scene.denoiser)
    with ours.propagated():
        ratio = speedup(partial(run, scene.denoiser.unet), partial(run, ours.unet), pairs)
    yield Line("U-Net with idle processors, times as fast as stock diffusers", ratio, at_least=0.98)


def added(window: Scene, chained: Scene, pairs: int) -> Iterator[Line]:
    """SAP over the tiles of a window and TAP over a chain of windows, against what their FLOPs predict."""
    paper = configured("propagation", "propagation=dcvsr")
    for name, step, scene in (("SAP", SAP_STEP, window), ("TAP", TAP_STEP, chained)):
        weightless = replace(scene, denoiser=scene.model.denoiser("meta", torch.float32))
        added = sum(counted(partial(weightless.denoise, paper, NoGuidance(), step)))
        predicted = added / sum(counted(partial(weightless.denoise, NoPropagation(), NoGuidance())))
        plain = partial(scene.denoise, NoPropagation(), NoGuidance())
        ratio = speedup(plain, partial(scene.denoise, paper, NoGuidance(), step), pairs)
        yield Line(
            f"{name} step, times what its FLOPs predict ({predicted:.3f} plain steps)",
            (1 / ratio.value) / predicted,
            at_most=1.15,
        )

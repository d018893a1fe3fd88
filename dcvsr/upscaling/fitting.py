"""Settings of an upscaler that fit into ``engine.memory``."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from dcvsr.attention.alternating import Alternating
from dcvsr.diffusion.protocols import Upscaler
from dcvsr.models.settling import settled
from dcvsr.models.upscaler import TiledUpscaler
from dcvsr.runtime.device import free_memory
from dcvsr.runtime.errors import UserError

SHARE = 0.8
"""Share of the free memory that ``auto`` takes."""


def fitted(upscaler: Upscaler, size: tuple[int, int, int], memory: Any, device: torch.device) -> Upscaler:
    """Return the upscaler with tiles per batch, exchange and decoded chunk that fit into ``memory``.

    Args:
        upscaler: model and settings.
        size: frames, height and width of the longest shot.
        memory: GB beside the weights; ``auto`` for a share of what is free; None to change nothing.
        device: device of the job.

    Raises:
        UserError: if nothing fits, or ``memory`` is ``auto`` and free memory is not known.
    """
    if memory is None or not isinstance(upscaler, TiledUpscaler):
        return upscaler
    budget = _budget(memory, upscaler, device)
    coder = upscaler.latents.autoencoder
    chunks = [n for n in (coder.chunk, 8, 4, 2, 1) if coder.overlap < n <= coder.chunk]
    found = settled(upscaler, device.type, size, chunks, budget)
    if found.bytes > budget:
        raise UserError(
            f"engine.memory={memory} leaves {budget / 1e9:.2g} GB, and this video needs "
            f"{found.bytes / 1e9:.2g} GB beside the weights; give more, or use smaller tile.size, "
            "tile.frames, or model.latents.autoencoder.tile with scale=svd"
        )
    coder.chunk = found.chunk
    return found.upscaler


def fitted_settings(upscaler: Upscaler) -> dict[str, Any]:
    """Return the settings that ``fitted`` chooses, as plain values."""
    if not isinstance(upscaler, TiledUpscaler):
        return {}
    propagation = upscaler.propagation
    sap = propagation.sap if isinstance(propagation, Alternating) else None
    chunk = upscaler.latents.autoencoder.chunk
    return {"batch": upscaler.batch, "exchange": sap and sap.exchange, "chunk": chunk}


def with_settings(upscaler: TiledUpscaler, settings: Mapping[str, Any]) -> TiledUpscaler:
    """Return the upscaler with what ``fitted_settings`` returned in another process."""
    propagation = upscaler.propagation
    if isinstance(propagation, Alternating) and propagation.sap:
        sap = replace(propagation.sap, exchange=settings["exchange"])
        propagation = replace(propagation, sap=sap)
    upscaler.latents.autoencoder.chunk = settings["chunk"]
    return replace(upscaler, batch=settings["batch"], propagation=propagation)


def _budget(memory: Any, upscaler: TiledUpscaler, device: torch.device) -> int:
    """Return the bytes that ``memory`` names."""
    if memory == "auto":
        free = free_memory(device)
        if free is None:
            raise UserError(f"engine.memory=auto, but free memory is not known on {device}; give GB")
        waiting = 0 if device.type == "cpu" else upscaler.weight_bytes  # not on the GPU yet
        return int(SHARE * (free - waiting))
    return int(1e9 * memory)

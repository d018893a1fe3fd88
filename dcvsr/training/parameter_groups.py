"""Groups of the U-Net's parameters, and the blocks that sharded training gathers."""

from itertools import pairwise
from typing import Any

import torch
from torch import nn

GROUPS = {
    "temporal_transformer_blocks": "temporal attention",
    "time_pos_embed": "temporal attention",
    "temporal_res_block": "temporal residual blocks",
    "time_mixer": "temporal residual blocks",
    "transformer_blocks": "spatial attention",
    "spatial_res_block": "spatial residual blocks",
}
"""Name of a module -> group of the parameters inside of it; others are ``other layers``."""


def parameter_groups(denoiser: nn.Module) -> dict[str, tuple[int, int]]:
    """Count the parameters of each group, and those of them that are trained."""
    counts: dict[str, tuple[int, int]] = dict.fromkeys((*GROUPS.values(), "other layers"), (0, 0))
    for name, p in denoiser.named_parameters():
        parts = name.split(".")
        group = next((GROUPS[part] for part in GROUPS if part in parts), "other layers")
        total, trained = counts[group]
        counts[group] = total + p.numel(), trained + p.numel() * p.requires_grad
    return counts


def gathered_bytes(unet: Any, dtype: torch.dtype) -> int:
    """Return the bytes of the blocks that FSDP2 gathers, and of the gradients of the largest one.

    While a block computes in ``dtype``, the next one is gathered too, and the buffer of the exchange holds
    one of them once more. Gradients of a block are summed over processes in float32.
    """
    blocks = *unet.down_blocks, unet.mid_block, *unet.up_blocks
    sizes = [sum(p.numel() for p in block.parameters()) for block in blocks]
    pairs, largest = max(a + b for a, b in pairwise(sizes)), max(sizes)
    return dtype.itemsize * (pairs + largest) + (dtype.itemsize + 4) * largest

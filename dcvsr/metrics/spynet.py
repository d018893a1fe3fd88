"""Optical flow by SpyNet, whose weights a package index provides."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dcvsr.runtime import basicsr
from dcvsr.weights.registry import locate
from dcvsr.weights.state_dicts import fill


class SpyNet(nn.Module):
    """Spatial pyramid network (Ranjan and Black 2017) by basicsr, with weights fine-tuned by BasicVSR.

    Args:
        weights: a file of BasicVSR weights, or the name of one; the parameters under ``spynet`` are used.

    Raises:
        UserError: if basicsr is not installed, or the weights cannot be found or belong to another network.
    """

    SMALLEST = 33  # shortest side in pixels for six levels; shorter sides are padded by replication

    def __init__(self, weights: str) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            self.network = basicsr.SpyNet()
        fill(self.network, locate(weights), prefix="spynet.")
        self.eval().requires_grad_(False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Estimate the flow from ``first`` to ``second``, batches ``b c h w`` in [0, 1]: ``b 2 h w``."""
        height, width = first.shape[-2:]
        missing = [0, max(0, self.SMALLEST - width), 0, max(0, self.SMALLEST - height)]
        large = (F.pad(frames, missing, mode="replicate") for frames in (first, second))
        return self.network(*large)[..., :height, :width]

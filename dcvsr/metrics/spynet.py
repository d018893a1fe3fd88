"""Optical flow by SpyNet, whose weights a package carries: for machines that reach only a package index."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dcvsr.runtime import basicsr
from dcvsr.weights.registry import locate
from dcvsr.weights.state_dicts import fill


class SpyNet(nn.Module):
    """Ranjan and Black 2017: a spatial pyramid network, basicsr's, as BasicVSR trained it on.

    Args:
        weights: a file of BasicVSR's, or the name of one; its ``spynet`` is taken.

    Raises:
        UserError: if basicsr is not installed, or the weights cannot be had or are another network's.
    """

    SMALLEST = 33  # pixels a side: of fewer, six levels leave nothing; such are padded by replication

    def __init__(self, weights: str) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            self.network = basicsr.SpyNet()
        fill(self.network, locate(weights), prefix="spynet.")
        self.eval().requires_grad_(False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Two batches ``b c h w`` in [0, 1] -> ``b 2 h w``, (x, y) in pixels; first(p) = second(p + flow)."""
        height, width = first.shape[-2:]
        missing = [0, max(0, self.SMALLEST - width), 0, max(0, self.SMALLEST - height)]
        large = (F.pad(frames, missing, mode="replicate") for frames in (first, second))
        return self.network(*large)[..., :height, :width]

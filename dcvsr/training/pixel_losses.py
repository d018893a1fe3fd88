"""Losses between restored and true frames.

Axes: video ``b f c h w`` in [0, 1]; restored video may lie outside.
"""

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dcvsr.runtime.choices import require_choice

Term = Literal["l1", "charbonnier", "lpips", "dists", "differences"]

EPSILON = 1e-3
"""Of Charbonnier's loss, as in Lai et al. 2018."""


class PixelLosses:
    """Weighted sum of losses; terms of weight 0 are neither computed nor loaded.

    Args:
        weights: term -> weight. ``l1`` and ``charbonnier`` compare pixels, ``lpips`` (AlexNet) and ``dists``
            frames, ``differences`` by L1 the differences of frames that follow each other.

    Raises:
        ValueError: if a term is not a choice, or a weight is negative.
        UserError: if the weights of AlexNet or VGG16 cannot be found.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        for term, weight in weights.items():
            require_choice("a loss", term, get_args(Term))
            if weight < 0:
                raise ValueError(f"the weight of {term} is {weight}, and must be 0 or above")
        self.weights = {term: weight for term, weight in weights.items() if weight > 0}
        self.networks = {term: _network(term) for term in ("lpips", "dists") if term in self.weights}

    def to(self, device: torch.device) -> None:
        """Move the networks to ``device``."""
        for network in self.networks.values():
            network.to(device)

    def __call__(self, restored: Tensor, hr: Tensor) -> dict[str, Tensor]:
        """Compute each term with its weight, a scalar; the loss is their sum."""
        return {term: weight * self._term(term, restored, hr) for term, weight in self.weights.items()}

    def _term(self, term: str, restored: Tensor, hr: Tensor) -> Tensor:
        if term == "l1":
            return F.l1_loss(restored, hr)
        if term == "charbonnier":
            return ((restored - hr) ** 2 + EPSILON**2).sqrt().mean()
        if term == "differences":
            return F.l1_loss(restored.diff(dim=1), hr.diff(dim=1))
        frames = restored.flatten(0, 1), hr.flatten(0, 1)
        if term == "lpips":
            return self.networks[term](*frames, normalize=True).mean()
        return self.networks[term](*frames).mean()


def _network(term: str) -> nn.Module:
    """Build the network of a perceptual loss, with gradients to its input only."""
    from dcvsr.metrics.perceptual import DISTS, LPIPS

    network = {"lpips": LPIPS, "dists": DISTS}[term]().network
    return network.eval().requires_grad_(False)

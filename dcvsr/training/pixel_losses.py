"""Losses between restored and true frames.

Axes: video ``b f c h w`` in [0, 1]; restored video may lie outside.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional as F

from dcvsr.metrics.specks import distance_to_median, smooth_pixels
from dcvsr.runtime.choices import require_choice

Term = Literal["l1", "charbonnier", "lpips", "dists", "differences", "specks"]

EPSILON = 1e-3
"""Of Charbonnier's loss, as in Lai et al. 2018."""

SMOOTH = 4
"""Levels of 255: a pixel of HR farther from the median of its 3x3 is an outlier; see `metrics.specks`."""


@dataclass(frozen=True)
class Perceived:
    """Restored or true frames that networks compare."""

    frames: Tensor
    """``n c h w``."""
    features: list[Tensor]
    """DISTS's, ``n k h w``: the frames and five layers of VGG16; empty if no term needs them."""


class PixelLosses:
    """Weighted sum of losses; terms of weight 0 are neither computed nor loaded.

    Args:
        weights: term -> weight. ``l1`` and ``charbonnier`` compare pixels, ``lpips`` (AlexNet) and ``dists``
            frames, ``differences`` by L1 the differences of frames that follow each other. ``specks`` is the
            mean, over pixels where HR is smooth, of the distance to the median of 3x3 pixels above `SMOOTH`,
            in units of `SMOOTH`; 0 where HR has no smooth pixel.
        features: compute features also where ``dists`` is off.

    Raises:
        ValueError: if a term is not a choice, or a weight is negative.
        UserError: if the weights of AlexNet or VGG16 cannot be found.
    """

    def __init__(self, weights: Mapping[str, float], features: bool = False) -> None:
        from dcvsr.metrics.perceptual import DISTS, LPIPS

        for term, weight in weights.items():
            require_choice("a loss", term, get_args(Term))
            if weight < 0:
                raise ValueError(f"the weight of {term} is {weight}, and must be 0 or above")
        self.weights = {term: weight for term, weight in weights.items() if weight > 0}
        self.lpips: Any = LPIPS().network.eval().requires_grad_(False) if "lpips" in self.weights else None
        self.dists: Any = DISTS().network.eval() if features or "dists" in self.weights else None

    def to(self, device: torch.device) -> None:
        """Move the networks to ``device``."""
        for network in filter(None, (self.lpips, self.dists)):
            network.to(device)

    def compared(
        self, restored: Tensor, hr: Tensor, seen: Tensor | None = None
    ) -> tuple[Perceived, Perceived]:
        """Return the frames that networks compare, with their features.

        Args:
            restored: decoded frames.
            hr: true frames.
            seen: indices of the frames of each clip, ``b n``; None for all.
        """
        pair = (_frames(video, seen) for video in (restored, hr))
        first, second = (Perceived(f, self.dists.forward_once(f) if self.dists else []) for f in pair)
        return first, second

    def __call__(
        self, restored: Tensor, hr: Tensor, compared: tuple[Perceived, Perceived] | None = None
    ) -> dict[str, Tensor]:
        """Compute each term with its weight, a scalar; the loss is their sum.

        Args:
            restored: decoded frames.
            hr: true frames.
            compared: of ``compared``, the frames that LPIPS and DISTS compare; None for all.
        """
        pair = compared or self.compared(restored, hr)
        return {term: weight * self._term(term, restored, hr, pair) for term, weight in self.weights.items()}

    def _term(self, term: str, restored: Tensor, hr: Tensor, compared: tuple[Perceived, Perceived]) -> Tensor:
        if term == "l1":
            return F.l1_loss(restored, hr)
        if term == "charbonnier":
            return ((restored - hr) ** 2 + EPSILON**2).sqrt().mean()
        if term == "differences":
            return F.l1_loss(restored.diff(dim=1), hr.diff(dim=1))
        if term == "specks":
            above = F.relu(distance_to_median(restored.flatten(0, 1))[..., 2:-2, 2:-2] / SMOOTH - 1)
            is_smooth = smooth_pixels(hr.flatten(0, 1), SMOOTH)
            return (above * is_smooth).sum() / is_smooth.sum().clamp(min=1)
        found, expected = compared
        if term == "lpips":
            return self.lpips(found.frames, expected.frames, normalize=True).mean()
        # Without require_grad torchmetrics would compute features in inference mode, without gradients.
        features = iter((found.features, expected.features))  # a Mock would keep them in a cycle
        with patch.object(self.dists, "forward_once", lambda _: next(features)):
            return self.dists(found.frames, expected.frames, require_grad=True).mean()


def _frames(video: Tensor, seen: Tensor | None) -> Tensor:
    """Return all frames of all clips, or those ``seen``: ``n c h w``."""
    if seen is None:
        return video.flatten(0, 1)
    return torch.cat([clip[frames] for clip, frames in zip(video, seen, strict=True)])

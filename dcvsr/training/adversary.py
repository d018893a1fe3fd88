"""Adversarial loss with feature matching, and the discriminator that it trains.

Axes: features ``n k h w`` of n frames, from VGG16's layers relu2_2, relu3_3 and relu4_3.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

WIDTHS = (128, 256, 512)
"""Channels of the three layers."""

Features = Sequence[Tensor]


class Adversary(nn.Module):
    """Discriminator on the features of frames, and its hinge losses.

    Only small heads are trained, one on each layer of a frozen network (Sauer et al. 2021, Projected GANs).
    They separate restored from true frames after a hundred steps of one frame. A discriminator that had to
    learn its features from the same frames had not done so after a thousand.

    A head's inner layers are normalised spectrally (Miyato et al. 2018), so that it stays stable at batches
    of one frame. The last is not: scores must reach the margins of the hinge loss.

    Args:
        channels: width of a head.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"channels must be at least 1, got {channels}")
        self.heads = nn.ModuleList(_Head(width, channels) for width in WIDTHS)

    def forward(self, features: Features) -> list[list[Tensor]]:
        """Compute for each layer the features of its head, and last its scores: high for true frames."""
        return [head(layer) for head, layer in zip(self.heads, features, strict=True)]

    def restoring_losses(self, restored: Features, hr: Features) -> dict[str, Tensor]:
        """Compute the terms that train restored frames; their gradients do not reach the discriminator.

        Returns:
            ``adversarial``, minus the mean score, and ``features``, L1 between the heads' features of
            restored and true frames, the mean over layers (Wang et al. 2018, pix2pixHD).
        """
        with self._frozen():
            judged = self(restored)
            with torch.no_grad():
                expected = self(hr)
        matched = [
            F.l1_loss(own, true)
            for layers in zip(judged, expected, strict=True)
            for own, true in zip(*(layer[:-1] for layer in layers), strict=True)
        ]
        scores = [layer[-1].mean() for layer in judged]
        return {"adversarial": -torch.stack(scores).mean(), "features": torch.stack(matched).mean()}

    def judging_loss(self, restored: Features, hr: Features) -> Tensor:
        """Compute the hinge loss that trains the discriminator; its gradients do not reach ``restored``."""
        pairs = zip(self([layer.detach() for layer in restored]), self(hr), strict=True)
        losses = [F.relu(1 + false[-1]).mean() + F.relu(1 - true[-1]).mean() for false, true in pairs]
        return torch.stack(losses).mean()

    @contextmanager
    def _frozen(self) -> Iterator[None]:
        self.requires_grad_(False)
        try:
            yield
        finally:
            self.requires_grad_(True)


class _Head(nn.Module):
    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.first = spectral_norm(nn.Conv2d(width, channels, 1))
        self.second = spectral_norm(nn.Conv2d(channels, channels, 3, padding=1))
        self.last = nn.Conv2d(channels, 1, 1)

    def forward(self, layer: Tensor) -> list[Tensor]:
        size = layer.detach().square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        first = F.leaky_relu(self.first(layer / (size + 1e-6)), 0.2)
        second = F.leaky_relu(self.second(first), 0.2)
        return [first, second, self.last(second)]

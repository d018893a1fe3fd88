"""Adversarial loss with feature matching, and the discriminator that it trains.

Axes: video ``b f c h w`` in [0, 1]; restored video may lie outside.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from dcvsr.runtime.errors import UserError

SMALLEST = 24
"""Pixels of a side that leave a score after the discriminator's layers."""


class Adversary(nn.Module):
    """Patch discriminator of a few frames (Isola et al. 2017) and its hinge losses.

    It sees ``frames`` frames that follow each other as one picture, so it judges flicker too. Its inner
    layers are normalised spectrally (Miyato et al. 2018), so that it stays stable at batches of one clip. The
    first and the last are not, as in Real-ESRGAN: scores must reach the margins of the hinge loss.

    Args:
        frames: frames that are judged together.
        channels: width of the first layer; each of the next three doubles it.
    """

    def __init__(self, frames: int, channels: int) -> None:
        super().__init__()
        if frames < 1 or channels < 1:
            raise ValueError(f"frames and channels must be at least 1, got {frames} and {channels}")
        self.frames = frames
        widths = [3 * frames, channels, 2 * channels, 4 * channels, 8 * channels]
        strides = [2, 2, 2, 1]
        first, *inner = (
            nn.Conv2d(before, after, 4, stride, padding=1)
            for (before, after), stride in zip(pairwise(widths), strides, strict=True)
        )
        self.layers = nn.ModuleList([first, *map(spectral_norm, inner)])
        self.last = nn.Conv2d(widths[-1], 1, 4, padding=1)

    def forward(self, video: Tensor) -> list[Tensor]:
        """Compute the features of each layer, and last the scores of patches: high for true frames.

        Raises:
            UserError: if the video has fewer frames than are judged together, or sides below `SMALLEST`.
        """
        if video.shape[1] < self.frames:
            raise UserError(
                f"clips of {video.shape[1]} frames are shorter than the discriminator's {self.frames}: raise "
                "data.frames, or lower module.adversary.frames"
            )
        if min(video.shape[-2:]) < SMALLEST:
            height, width = video.shape[-2:]
            raise UserError(
                f"the discriminator needs {SMALLEST} pixels a side, got {width}x{height}: raise data.crop or "
                "module.decoded"
            )
        windows = video.unfold(1, self.frames, 1)
        found = [rearrange(windows, "b n c h w f -> (b n) (f c) h w") - 0.5]
        for layer in self.layers:
            found.append(F.leaky_relu(layer(found[-1]), 0.2))
        return [*found[1:], self.last(found[-1])]

    def restoring_losses(self, restored: Tensor, hr: Tensor) -> dict[str, Tensor]:
        """Compute the terms that train the restored video; their gradients do not reach the discriminator.

        Returns:
            ``adversarial``, minus the mean score, and ``features``, L1 between the features of restored and
            true frames, the mean over layers (Wang et al. 2018, pix2pixHD).
        """
        with self._frozen():
            *features, scores = self(restored)
            with torch.no_grad():
                *expected, _ = self(hr)
        pairs = zip(features, expected, strict=True)
        return {
            "adversarial": -scores.mean(),
            "features": torch.stack([F.l1_loss(*pair) for pair in pairs]).mean(),
        }

    def judging_loss(self, restored: Tensor, hr: Tensor) -> Tensor:
        """Compute the hinge loss that trains the discriminator; its gradients do not reach ``restored``."""
        false, true = self(restored.detach())[-1], self(hr)[-1]
        return F.relu(1 + false).mean() + F.relu(1 - true).mean()

    @contextmanager
    def _frozen(self) -> Iterator[None]:
        self.requires_grad_(False)
        try:
            yield
        finally:
            self.requires_grad_(True)

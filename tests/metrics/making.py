"""Helpers for the tests of IS and FID."""

import numpy as np
from torch import Tensor, nn


class Colours(nn.Module):
    """Stand-in for Inception: the mean colour, ``b 3 h w`` -> ``b 3`` in [0, 1]."""

    num_features = 3

    def forward(self, images: Tensor) -> Tensor:
        return images.float().mean((-2, -1)) / 255


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Compute the Fréchet distance of Gaussians fitted to two samples ``n d``."""
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    roots = np.sqrt(np.linalg.eigvals(cov_a @ cov_b).astype(complex)).real
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b) - 2 * roots.sum())

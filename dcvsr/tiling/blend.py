"""Gaussian blending of overlapping tiles (section 3; spec A16)."""

import torch
from torch import Tensor


def gaussian_window(size: int, width: float) -> Tensor:
    """Compute a tile's weights along one axis: a Gaussian of standard deviation ``width`` tiles; float32.

    The paper leaves the width open; the default is 0.1 tile on every axis, time included (spec A16).
    """
    position = (torch.arange(size, dtype=torch.float64) - (size - 1) / 2) / size
    return torch.exp(-(position**2) / (2 * width**2)).float()

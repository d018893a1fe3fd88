"""Backward warping of frames along optical flow, and the mask of pixels where it is valid.

Axes: b pairs, c colours, h w pixels. A flow is `dcvsr.metrics.flow`'s: ``b 2 h w``, (x, y) in pixels.
"""

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Sample ``image`` ``b c h w`` bilinearly at p + flow(p), aligning it with the flow's first frame."""
    return F.grid_sample(image, _normalised(flow), padding_mode="border", align_corners=True)


def visible(forward: Tensor, backward: Tensor) -> Tensor:
    """Return the mask, bool ``b h w``, of pixels of the first frame that the second frame shows too.

    A pixel is visible if it stays inside the frame and the backward flow cancels the forward flow. This is
    the consistency check of Sundaram et al. 2010 that Ruder et al. 2016 and Lai et al. 2018 use, without
    their check for motion boundaries.
    """
    back = warp(backward, forward)
    lengths = forward.square().sum(dim=1) + back.square().sum(dim=1)
    consistent = (forward + back).square().sum(dim=1) <= 0.01 * lengths + 0.5
    inside = (_normalised(forward).abs() <= 1 + 1e-5).all(dim=-1)  # 1e-5 allows for rounding
    return consistent & inside


def _normalised(flow: Tensor) -> Tensor:
    """Convert p + flow(p) to ``grid_sample``'s units, -1 and 1 at the outermost pixels: ``b h w 2``."""
    height, width = flow.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=flow.device), torch.arange(width, device=flow.device), indexing="ij"
    )
    last = torch.tensor([width - 1, height - 1], device=flow.device).clamp(min=1)
    places = rearrange(flow + torch.stack([x, y]), "b xy h w -> b h w xy")
    return 2 * places / last - 1

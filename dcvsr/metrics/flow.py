"""Optical flow: where what a frame shows lies in another frame.

Axes: b pairs, c colours, h w pixels. An estimator takes two batches ``b c h w`` in [0, 1] and gives the flow
``b 2 h w``, (x, y) in pixels, from the first to the second: first(p) = second(p + flow(p)).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.optical_flow import raft_large

from dcvsr.imaging import to_bytes
from dcvsr.runtime.errors import UserError
from dcvsr.weights.registry import locate
from dcvsr.weights.state_dicts import fill


class Flow(Protocol):
    """An estimator of the flow from ``first`` to ``second``."""

    def __call__(self, first: Tensor, second: Tensor) -> Tensor: ...


class RAFT(nn.Module):
    """Teed and Deng 2020: RAFT, torchvision's large one. Sides that it cannot take are padded by replication.

    Args:
        weights: a file, or the name of one that torchvision publishes.
        updates: of the flow; the last is taken.

    Raises:
        UserError: if the weights cannot be had or are another network's.
    """

    STRIDE, SMALLEST = 8, 128  # pixels: sides are multiples of one, and no shorter than the other

    def __init__(self, weights: str, updates: int) -> None:
        super().__init__()
        self.updates = updates
        path = locate(weights)
        with torch.random.fork_rng(devices=[]):
            self.network = raft_large(weights=None)
        fill(self.network, path)
        self.eval().requires_grad_(False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        height, width = first.shape[-2:]
        (top, bottom), (left, right) = (self._padding(side) for side in (height, width))
        padded = (F.pad(2 * x - 1, [left, right, top, bottom], mode="replicate") for x in (first, second))
        flow = self.network(*padded, num_flow_updates=self.updates)[-1]
        return flow[..., top : top + height, left : left + width]

    def _padding(self, side: int) -> tuple[int, int]:
        missing = max(-side % self.STRIDE, self.SMALLEST - side)
        return missing // 2, missing - missing // 2


@dataclass(frozen=True)
class DIS:
    """Kroeger et al. 2016: dense inverse search on gray, OpenCV's; on the CPU, nothing to download."""

    preset: int  # of OpenCV: 0 ultrafast, 1 fast, 2 medium

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        height, width = first.shape[-2:]
        # OpenCV 5.0 picks its pyramid by the width alone: on wide frames of few rows it raises or segfaults.
        if min(height, width) < 8 or max(height, width) < 12 or (width > 32 and height < 32):
            raise UserError(f"DIS cannot take frames of {width}x{height}; choose metrics.flow=farneback")
        return _by_opencv(cv2.DISOpticalFlow.create(self.preset).calc, first, second)


@dataclass(frozen=True)
class Farneback:
    """Farneback 2003: polynomial expansion on gray, OpenCV's and with its arguments; on the CPU."""

    pyr_scale: float
    levels: int
    winsize: int
    iterations: int
    poly_n: int
    poly_sigma: float
    flags: int

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        return _by_opencv(partial(cv2.calcOpticalFlowFarneback, **vars(self)), first, second)


def _by_opencv(estimate: Callable[..., Any], first: Tensor, second: Tensor) -> Tensor:
    """``estimate`` of each pair of images in eight-bit gray, from no motion on."""
    flows = []
    for pair in zip(_gray(first), _gray(second), strict=True):
        still = np.zeros((*pair[0].shape, 2), np.float32)
        flows.append(torch.from_numpy(estimate(*pair, still)))
    return rearrange(torch.stack(flows), "b h w xy -> b xy h w").to(first.device)


def _gray(frames: Tensor) -> list[np.ndarray]:
    images = rearrange(to_bytes(frames), "b c h w -> b h w c").cpu().numpy()
    return [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]

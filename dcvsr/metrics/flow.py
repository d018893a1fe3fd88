"""Optical flow estimators.

Axes: b pairs, c colours, h w pixels. An estimator takes two batches ``b c h w`` in [0, 1] and returns the
flow ``b 2 h w``, (x, y) in pixels, from the first to the second: first(p) = second(p + flow(p)).
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
    """Estimator of the flow from ``first`` to ``second``."""

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        """Estimate the flow from ``first`` to ``second``."""
        ...


class RAFT(nn.Module):
    """RAFT (Teed and Deng 2020), torchvision's large variant. Unsupported sizes are padded by replication.

    Args:
        weights: a file, or the name of one that torchvision publishes.
        updates: number of flow updates; the last flow is returned.

    Raises:
        UserError: if the weights cannot be found or belong to another network.
    """

    STRIDE, SMALLEST = 8, 128  # pixels: sides must be multiples of STRIDE and at least SMALLEST

    def __init__(self, weights: str, updates: int) -> None:
        super().__init__()
        self.updates = updates
        path = locate(weights)
        with torch.random.fork_rng(devices=[]):
            self.network = raft_large(weights=None)
        fill(self.network, path)
        self.eval().requires_grad_(False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Estimate the flow from ``first`` to ``second``."""
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
    """Dense inverse search (Kroeger et al. 2016) on gray frames by OpenCV; on the CPU, without weights."""

    preset: int  # OpenCV's: 0 ultrafast, 1 fast, 2 medium

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        """Estimate the flow from ``first`` to ``second``.

        Raises:
            UserError: if OpenCV cannot take frames of this size.
        """
        height, width = first.shape[-2:]
        # OpenCV 5.0 sizes its pyramid by the width alone: it raises or segfaults on wide frames of few rows.
        if min(height, width) < 8 or max(height, width) < 12 or (width > 32 and height < 32):
            raise UserError(f"DIS cannot take frames of {width}x{height}; choose metrics.flow=farneback")
        return _by_opencv(cv2.DISOpticalFlow.create(self.preset).calc, first, second)


@dataclass(frozen=True)
class Farneback:
    """Polynomial expansion (Farneback 2003) on gray frames by OpenCV, with its arguments; on the CPU."""

    pyr_scale: float
    levels: int
    winsize: int
    iterations: int
    poly_n: int
    poly_sigma: float
    flags: int

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        """Estimate the flow from ``first`` to ``second``."""
        return _by_opencv(partial(cv2.calcOpticalFlowFarneback, **vars(self)), first, second)


def _by_opencv(estimate: Callable[..., Any], first: Tensor, second: Tensor) -> Tensor:
    """Apply ``estimate`` to each pair of frames in eight-bit gray, with zero flow as the initial guess."""
    flows = []
    for pair in zip(_gray(first), _gray(second), strict=True):
        still = np.zeros((*pair[0].shape, 2), np.float32)
        flows.append(torch.from_numpy(estimate(*pair, still)))
    return rearrange(torch.stack(flows), "b h w xy -> b xy h w").to(first.device)


def _gray(frames: Tensor) -> list[np.ndarray]:
    images = rearrange(to_bytes(frames), "b c h w -> b h w c").cpu().numpy()
    return [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]

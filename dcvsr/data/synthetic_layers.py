"""Layers of synthetic clips, and the views that move them.

A view maps a time in frames to a 3x3 matrix. The matrix maps points (x, y, 1) of the frame to points of the
texture, both in pixels.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from einops import einsum
from torch import Tensor
from torch.nn import functional as F

from dcvsr.data.textures import TEXELS

View = Callable[[float], Tensor]

MARGIN = 2  # texels that bicubic sampling reads beyond an edge


@dataclass(frozen=True)
class Layer:
    """A texture that repeats endlessly, under a view."""

    picture: Tensor  # 4 h w in texels: RGB and opacity, in [0, 1]
    view: View

    @classmethod
    def opaque(cls, colours: Tensor, view: View) -> "Layer":
        """Return an opaque layer of ``colours``, ``3 h w`` in texels."""
        return cls(torch.cat([colours, torch.ones_like(colours[:1])]), view)

    def at(self, time: float, points: Tensor) -> Tensor:
        """Sample colours and opacity, ``4 h w``, at ``points`` of the frame, ``3 h w``."""
        height, width = self.picture.shape[1:]
        x, y, _ = TEXELS * einsum(self.view(time), points, "i j, j h w -> i h w")
        grid = torch.stack([_normalised(x, width), _normalised(y, height)], dim=-1).float()
        return F.grid_sample(self._bordered, grid[None], mode="bicubic", align_corners=False)[0]

    def flow(self, time: float, points: Tensor) -> Tensor:
        """Return the flow (dx, dy) in pixels to the next frame at ``points``: ``2 h w``."""
        step = torch.linalg.inv(self.view(time + 1)) @ self.view(time)
        return (einsum(step, points, "i j, j h w -> i h w") - points)[:2]

    @cached_property
    def _bordered(self) -> Tensor:
        return F.pad(self.picture[None], [MARGIN] * 4, mode="circular")


def sliding(dx: float, dy: float, time: float) -> Tensor:
    """Return the view of a texture that moves by (``dx``, ``dy``) per frame."""
    return torch.tensor([[1, 0, -dx * time], [0, 1, -dy * time], [0, 0, 1]], dtype=torch.float64)


def panning(reach: float, frames: int, time: float) -> Tensor:
    """Return the view of a camera that pans ``reach`` pixels to the right, and back by the last frame."""
    return sliding(-reach * math.sin(math.pi * time / max(frames - 1, 1)) ** 2, 0, 1)


def spiralling(size: tuple[int, int], turn: float, zoom: float, frames: int, time: float) -> Tensor:
    """Return the view of a texture that turns ``turn`` radians a frame and grows ``zoom`` times and back."""
    scale = zoom ** -(math.sin(math.pi * time / frames) ** 2)
    cos, sin = scale * math.cos(turn * time), scale * math.sin(turn * time)
    y, x = ((side - 1) / 2 for side in size)
    return torch.tensor(
        [[cos, sin, x - cos * x - sin * y], [-sin, cos, y + sin * x - cos * y], [0, 0, 1]],
        dtype=torch.float64,
    )


def _normalised(texels: Tensor, side: int) -> Tensor:
    """Convert texels to ``grid_sample`` units on a side that repeats and has ``MARGIN`` at both ends."""
    return (2 * (texels % side + MARGIN) + 1) / (side + 2 * MARGIN) - 1

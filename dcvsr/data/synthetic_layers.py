"""Pictures that lie over each other in a synthetic clip, and the views under which they move.

A view maps, at a time in frames, points of the frame to points of the picture: 3x3 on (x, y, 1) in pixels.
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
    """A picture without end under a view."""

    picture: Tensor  # 4 h w in texels: three colours and opacity, in [0, 1]
    view: View

    @classmethod
    def opaque(cls, colours: Tensor, view: View) -> "Layer":
        return cls(torch.cat([colours, torch.ones_like(colours[:1])]), view)

    def at(self, time: float, points: Tensor) -> Tensor:
        """Colours and opacity at ``points`` ``3 h w`` of the frame: ``4 h w``."""
        height, width = self.picture.shape[1:]
        x, y, _ = TEXELS * einsum(self.view(time), points, "i j, j h w -> i h w")
        grid = torch.stack([_normalised(x, width), _normalised(y, height)], dim=-1).float()
        return F.grid_sample(self._bordered, grid[None], mode="bicubic", align_corners=False)[0]

    def flow(self, time: float, points: Tensor) -> Tensor:
        """How far, (dx, dy) in pixels, what lies at ``points`` moves within a frame: ``2 h w``."""
        step = torch.linalg.inv(self.view(time + 1)) @ self.view(time)
        return (einsum(step, points, "i j, j h w -> i h w") - points)[:2]

    @cached_property
    def _bordered(self) -> Tensor:
        return F.pad(self.picture[None], [MARGIN] * 4, mode="circular")


def sliding(dx: float, dy: float, time: float) -> Tensor:
    """The view of a picture that moves by (``dx``, ``dy``) a frame."""
    return torch.tensor([[1, 0, -dx * time], [0, 1, -dy * time], [0, 0, 1]], dtype=torch.float64)


def panning(reach: float, frames: int, time: float) -> Tensor:
    """The view of a camera that goes ``reach`` pixels to the right and is back in the last frame."""
    return sliding(-reach * math.sin(math.pi * time / max(frames - 1, 1)) ** 2, 0, 1)


def spiralling(size: tuple[int, int], turn: float, zoom: float, frames: int, time: float) -> Tensor:
    """The view of a picture that turns ``turn`` radians a frame and is ``zoom`` times as large half-way."""
    scale = zoom ** -(math.sin(math.pi * time / frames) ** 2)
    cos, sin = scale * math.cos(turn * time), scale * math.sin(turn * time)
    y, x = ((side - 1) / 2 for side in size)
    return torch.tensor(
        [[cos, sin, x - cos * x - sin * y], [-sin, cos, y + sin * x - cos * y], [0, 0, 1]],
        dtype=torch.float64,
    )


def _normalised(texels: Tensor, side: int) -> Tensor:
    """``texels`` in ``grid_sample``'s units, on a side that repeats and carries ``MARGIN`` at both ends."""
    return (2 * (texels % side + MARGIN) + 1) / (side + 2 * MARGIN) - 1

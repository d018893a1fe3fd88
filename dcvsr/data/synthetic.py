"""Synthetic clips with known optical flow: random textures under known motions.

A frame depends on (seed, time) alone, so random access returns the same frames as reading in order.
Axes: f frames, c colours, h w pixels. Points are (x, y, 1) in pixels, pixel centres at whole numbers.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from dcvsr.data.clips import ALL, require_frames
from dcvsr.data.synthetic_layers import Layer, panning, sliding, spiralling
from dcvsr.data.textures import blobs, dead_leaves, lettering
from dcvsr.runtime.errors import UserError
from dcvsr.video.io import to_bytes


@dataclass(frozen=True)
class SyntheticClip(ABC):
    """Base of synthetic clips: a `Clip` with ground-truth flow and visibility.

    Raises:
        UserError: if the clip is too small for a texture.
    """

    seed: int
    frames: int
    height: int
    width: int

    rate = None

    def __post_init__(self) -> None:
        if self.frames < 1 or min(self.height, self.width) < 16:
            size = f"{self.width}x{self.height}x{self.frames}"
            raise UserError(f"{self.name}: {size} is too small; choose 16x16x1 or more")

    @abstractmethod
    def scene(self, generator: Generator) -> tuple[Layer, ...]:
        """Return the layers from back to front; the first is opaque."""

    @property
    def name(self) -> str:
        """Lower-case class name, a hyphen, and the seed."""
        return f"{type(self).__name__.lower()}-{self.seed}"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    @property
    def shots(self) -> Sequence[range]:
        """One shot of all frames."""
        return [range(self.frames)]

    def __len__(self) -> int:
        return self.frames

    def read(self, start: int, count: int, rows: slice = ALL, columns: slice = ALL) -> Tensor:
        """Return a range of frames, or a part of each: uint8 ``count c h w``."""
        require_frames(self, start, count)
        points = self._points[:, rows, columns]
        return torch.stack([to_bytes(self._picture(time, points)) for time in range(start, start + count)])

    def flow(self, index: int) -> Tensor:
        """Return the flow (dx, dy) in pixels from frame ``index`` to the next, at its pixels: ``2 h w``."""
        require_frames(self, index, 2)
        flows = torch.stack([layer.flow(index, self._points) for layer in self._layers])
        front = _front(self._opacity(index, self._points))
        return torch.take_along_dim(flows, front[None, None], dim=0)[0].float()

    def visible(self, index: int) -> Tensor:
        """Return the mask, bool ``h w``, of pixels in frame ``index`` that the next shows too, unblended."""
        moved = self._points + F.pad(self.flow(index), [0, 0, 0, 0, 0, 1])
        x, y, _ = moved
        inside = (x >= 0) & (x <= self.width - 1) & (y >= 0) & (y <= self.height - 1)
        before, after = self._opacity(index, self._points), self._opacity(index + 1, moved)
        mixed = ((torch.stack([before, after]) - 0.5).abs() < 0.49).any(0).any(0)
        return inside & (_front(before) == _front(after)) & ~mixed

    @cached_property
    def _layers(self) -> tuple[Layer, ...]:
        return self.scene(Generator().manual_seed(self.seed))

    @cached_property
    def _points(self) -> Tensor:
        y, x = torch.meshgrid(torch.arange(self.height), torch.arange(self.width), indexing="ij")
        return torch.stack([x, y, torch.ones_like(x)]).double()

    def _picture(self, time: int, points: Tensor) -> Tensor:
        """Render the colours at ``points``: ``3 h w``."""
        picture = torch.zeros(())
        for layer in self._layers:
            *colours, opacity = layer.at(time, points)
            picture = torch.lerp(picture, torch.stack(colours), opacity)
        return picture

    def _opacity(self, time: int, points: Tensor) -> Tensor:
        """Return the opacity of every layer at ``points``: ``layer h w``."""
        return torch.stack([layer.at(time, points)[3] for layer in self._layers])


def _front(opacity: Tensor) -> Tensor:
    """Return the number of the visible layer: ``layer h w`` -> ``h w``."""
    return len(opacity) - 1 - (opacity > 0.5).flip(0).int().argmax(dim=0)


@dataclass(frozen=True)
class Translation(SyntheticClip):
    """A texture that moves by (``dx``, ``dy``) pixels per frame."""

    dx: float
    dy: float

    def scene(self, generator: Generator) -> tuple[Layer, ...]:
        """Return the layers from back to front."""
        picture = dead_leaves(*self.size, generator)
        return (Layer.opaque(picture, partial(sliding, self.dx, self.dy)),)


@dataclass(frozen=True)
class Wallpaper(SyntheticClip):
    """A pattern that repeats every ``period`` pixels in both directions, so distant places look alike."""

    dx: float
    dy: float
    period: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.period < 16:
            raise UserError(f"{self.name}: period={self.period} is too small; choose 16 or more")

    def scene(self, generator: Generator) -> tuple[Layer, ...]:
        """Return the layers from back to front."""
        pattern = dead_leaves(self.period, self.period, generator)
        return (Layer.opaque(pattern, partial(sliding, self.dx, self.dy)),)


@dataclass(frozen=True)
class Spiral(SyntheticClip):
    """A texture that rotates about the centre by ``degrees`` per frame and grows ``zoom`` times and back."""

    degrees: float
    zoom: float

    def scene(self, generator: Generator) -> tuple[Layer, ...]:
        """Return the layers from back to front."""
        side = math.ceil(math.hypot(*self.size))
        turn = math.radians(self.degrees)
        view = partial(spiralling, self.size, turn, self.zoom, self.frames)
        return (Layer.opaque(dead_leaves(side, side, generator), view),)


@dataclass(frozen=True)
class Occlusion(SyntheticClip):
    """Shapes that move by (``front_dx``, ``front_dy``) over a texture that moves by (``dx``, ``dy``)."""

    dx: float
    dy: float
    front_dx: float
    front_dy: float

    def scene(self, generator: Generator) -> tuple[Layer, ...]:
        """Return the layers from back to front."""
        back = dead_leaves(*self.size, generator)
        return (
            Layer.opaque(back, partial(sliding, self.dx, self.dy)),
            Layer(self.front(generator), partial(sliding, self.front_dx, self.front_dy)),
        )

    def front(self, generator: Generator) -> Tensor:
        """Return colours and opacity of what is in front, ``4 h w`` in texels."""
        return torch.cat([dead_leaves(*self.size, generator), blobs(*self.size, generator)])


@dataclass(frozen=True)
class Text(Occlusion):
    """Lines of text instead of shapes."""

    def front(self, generator: Generator) -> Tensor:
        """Return colours and opacity of what is in front, ``4 h w`` in texels."""
        return lettering(*self.size, generator)


@dataclass(frozen=True)
class Return(SyntheticClip):
    """A camera pan by ``reach`` frame widths and back; the view of the first frame returns at the end."""

    reach: float

    def scene(self, generator: Generator) -> tuple[Layer, ...]:
        """Return the layers from back to front."""
        long = math.ceil((1 + self.reach) * self.width)
        view = partial(panning, self.reach * self.width, self.frames)
        return (Layer.opaque(dead_leaves(self.height, long, generator), view),)

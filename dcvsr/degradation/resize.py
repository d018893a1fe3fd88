"""Resizing by a factor that walks over the frames, and downsampling to the LR size.

Axes: frames are ``c h w``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Generator, Tensor

from dcvsr.degradation.resample import KERNELS, RESAMPLES, ResampleName
from dcvsr.degradation.seeds import choose, uniform
from dcvsr.degradation.walk import Params, Walk, walked
from dcvsr.runtime.choices import require_choice


@dataclass(frozen=True)
class Resize:
    """Random resize: up to ``scale.high`` times, down to ``scale.low`` times, or unchanged; sizes are even.

    Args:
        up, down, keep: probabilities.
        scale: range and step of the factor's walk.
        kernels: kernel -> probability.
        resample: ``opencv`` or ``antialiased``.
    """

    up: float
    down: float
    keep: float
    scale: Walk
    kernels: Mapping[str, float]
    resample: ResampleName

    def __post_init__(self) -> None:
        require_choice("resample", self.resample, RESAMPLES)
        _require_known(self.kernels)

    def draw(self, generator: Generator, shape: Sequence[int]) -> Params:
        """Draw the parameters of a clip."""
        limits = {"up": (1, self.scale.high), "down": (self.scale.low, 1), "keep": (1, 1)}
        mode = choose(generator, {"up": self.up, "down": self.down, "keep": self.keep})
        scale = self.scale.draw_from(generator, uniform(generator, *limits[mode]))
        return {"kernel": choose(generator, self.kernels), "scale": scale}

    def apply(self, params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield each frame resized to its factor times the first frame's size."""
        first = None
        for frame, scale in zip(frames, walked(params["scale"]), strict=False):
            first = first or frame.shape[1:]
            height, width = (max(2, 2 * int(side * scale / 2)) for side in first)
            yield RESAMPLES[self.resample](frame, (height, width), params["kernel"])


@dataclass(frozen=True)
class Reduce:
    """Downsampling to HR's size divided by ``factor``, from any current size."""

    factor: int
    kernels: Mapping[str, float]
    resample: ResampleName

    def __post_init__(self) -> None:
        require_choice("resample", self.resample, RESAMPLES)
        _require_known(self.kernels)

    def draw(self, generator: Generator, shape: Sequence[int]) -> Params:
        """Draw the parameters of a clip."""
        *_, height, width = shape
        size = [height // self.factor, width // self.factor]
        return {"kernel": choose(generator, self.kernels), "size": size}

    def apply(self, params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the degraded frames one by one."""
        height, width = params["size"]
        return (RESAMPLES[self.resample](frame, (height, width), params["kernel"]) for frame in frames)


def _require_known(kernels: Mapping[str, float]) -> None:
    if unknown := kernels.keys() - set(KERNELS):
        raise ValueError(f"unknown kernel {', '.join(sorted(unknown))}; choose from {', '.join(KERNELS)}")

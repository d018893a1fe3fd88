"""Blur with a kernel of fixed kind and size per clip, whose shape parameters walk from frame to frame.

Axes: frames are ``c h w``.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Generator, Tensor

from dcvsr.degradation.blur_kernels import gaussian, generalized_gaussian, plateau, sinc
from dcvsr.degradation.filtering import filtered
from dcvsr.degradation.seeds import choose, seed
from dcvsr.degradation.walk import Params, Walk, walked

KINDS: Mapping[str, tuple[Callable[..., Tensor], tuple[str, ...]]] = {
    "iso": (gaussian, ("sigma_x",)),
    "aniso": (gaussian, ("sigma_x", "sigma_y", "angle")),
    "generalized_iso": (generalized_gaussian, ("beta_gaussian", "sigma_x")),
    "generalized_aniso": (
        generalized_gaussian,
        ("beta_gaussian", "sigma_x", "sigma_y", "angle"),
    ),
    "plateau_iso": (plateau, ("beta_plateau", "sigma_x")),
    "plateau_aniso": (plateau, ("beta_plateau", "sigma_x", "sigma_y", "angle")),
    "sinc": (sinc, ("omega",)),
}
"""Kind -> kernel function and its parameters after the size."""


@dataclass(frozen=True)
class Blur:
    """Random blur with one kind of kernel per clip.

    Args:
        kinds: kind -> probability.
        smallest, largest: range of odd kernel sizes.
        sigma_x, sigma_y: widths in pixels.
        angle: rotation in radians.
        beta_gaussian, beta_plateau: exponents.
        omega_small, omega_large: cutoff of sinc in radians per pixel, for sizes below 13 and from 13 on.
    """

    kinds: Mapping[str, float]
    smallest: int
    largest: int
    sigma_x: Walk
    sigma_y: Walk
    angle: Walk
    beta_gaussian: Walk
    beta_plateau: Walk
    omega_small: Walk
    omega_large: Walk

    def __post_init__(self) -> None:
        _require_odd(self.smallest, self.largest)
        if unknown := self.kinds.keys() - KINDS.keys():
            raise ValueError(f"unknown kernel {', '.join(sorted(unknown))}; choose from {', '.join(KINDS)}")

    def draw(self, generator: Generator, shape: Sequence[int]) -> Params:
        """Draw the parameters of a clip."""
        kind, size = choose(generator, self.kinds), _size(generator, self.smallest, self.largest)
        params: Params = {"kind": kind, "size": size}
        for name in KINDS[kind][1]:
            walk = getattr(self, name, self.omega_small if size < 13 else self.omega_large)
            params[name] = walk.draw(generator)
        if any(name.startswith("beta") for name in params):
            params["beta_seed"] = seed(generator)
        return params

    def apply(self, params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the degraded frames one by one."""
        return blurred(params, frames)


@dataclass(frozen=True)
class Sinc:
    """Blur with a sinc kernel: the ringing of resizing and sharpening in cameras and players."""

    smallest: int
    largest: int
    omega: Walk

    def __post_init__(self) -> None:
        _require_odd(self.smallest, self.largest)

    def draw(self, generator: Generator, shape: Sequence[int]) -> Params:
        """Draw the parameters of a clip."""
        size = _size(generator, self.smallest, self.largest)
        return {"kind": "sinc", "size": size, "omega": self.omega.draw(generator)}

    def apply(self, params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the degraded frames one by one."""
        return blurred(params, frames)


def blurred(params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield every frame filtered with its kernel."""
    for frame, kernel in zip(frames, drawn_kernels(params), strict=False):
        yield filtered(frame, kernel)


def drawn_kernels(params: Params) -> Iterator[Tensor]:
    """Yield the kernels of a clip frame by frame without end, ``size size``, float64.

    RealBasicVSR draws each frame's beta between the walk's value and 1.
    """
    build, names = KINDS[params["kind"]]
    jitter = Random(params.get("beta_seed", 0))
    for values in zip(*(walked(params[name]) for name in names), strict=True):
        if "beta_seed" in params:
            beta, *shape = values
            yield build(params["size"], 1 + jitter.random() * (beta - 1), *shape)
        else:
            yield build(params["size"], *values)


def _size(generator: Generator, smallest: int, largest: int) -> int:
    return smallest + 2 * int(torch.randint((largest - smallest) // 2 + 1, (), generator=generator))


def _require_odd(smallest: int, largest: int) -> None:
    if not (0 < smallest <= largest and smallest % 2 and largest % 2):
        raise ValueError(f"kernel sizes must be odd and in ascending order, got {smallest} to {largest}")

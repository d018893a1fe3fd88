"""Sensor noise, independent for every frame.

Axes: frames are ``c h w`` in [0, 1]; gray noise is ``1 h w``, equal in all colours.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from kornia.color import rgb_to_grayscale
from torch import Generator, Tensor

from dcvsr.degradation.seeds import choose, seed
from dcvsr.degradation.walk import Params, Walk, walked
from dcvsr.imaging import to_bytes, to_unit


@dataclass(frozen=True)
class Noise:
    """Gaussian or Poisson noise, in colour or gray.

    Args:
        gaussian, poisson: probabilities of the kinds.
        sigma: standard deviation of Gaussian noise in levels of 255.
        scale: scale of Poisson noise.
        gray: probability of equal noise in all colours.
    """

    gaussian: float
    poisson: float
    sigma: Walk
    scale: Walk
    gray: float

    def draw(self, generator: Generator, shape: Sequence[int]) -> Params:
        """Draw the parameters of a clip."""
        kind = choose(generator, {"gaussian": self.gaussian, "poisson": self.poisson})
        colours = choose(generator, {"gray": self.gray, "colour": 1 - self.gray})
        strength = {"gaussian": self.sigma, "poisson": self.scale}[kind].draw(generator)
        return {"kind": kind, "colours": colours, "strength": strength, "seed": seed(generator)}

    def apply(self, params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the noisy frames; values may leave [0, 1]."""
        add, generator = KINDS[params["kind"]], None
        for frame, strength in zip(frames, walked(params["strength"]), strict=False):
            generator = generator or Generator(frame.device).manual_seed(params["seed"])
            seen = rgb_to_grayscale(frame) if params["colours"] == "gray" else frame
            yield frame + add(seen, strength, generator)


def gaussian(seen: Tensor, sigma: float, generator: Generator) -> Tensor:
    """Draw noise of standard deviation ``sigma`` / 255 in the shape of ``seen``."""
    return torch.randn(seen.shape, generator=generator, device=seen.device).mul_(sigma / 255)


def poisson(seen: Tensor, scale: float, generator: Generator) -> Tensor:
    """Draw ``scale`` times photon noise; white is as many photons as ``seen`` has levels, rounded up to 2^n.

    The original RealBasicVSR also computes on [0, 1]. mmagic 1.x computes on [0, 255], so that white is 255
    times as many photons and its noise is sqrt(255), about 16 times, weaker.
    """
    levels = to_bytes(seen)
    different = int(torch.bincount(levels.flatten(), minlength=256).count_nonzero())
    photons = 2 ** (different - 1).bit_length()
    signal = to_unit(levels)
    return torch.poisson(signal * photons, generator).div_(photons).sub_(signal).mul_(scale)


KINDS: Mapping[str, Callable[[Tensor, float, Generator], Tensor]] = {"gaussian": gaussian, "poisson": poisson}

"""Strength of a degradation: a few numbers per clip, computed from its drawn parameters.

The numbers rank the clips of a dataset. They ignore the effect of resizing and later steps on blur and noise.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import islice
from statistics import fmean

import torch
from torch import Tensor

from dcvsr.degradation.blur import drawn_kernels
from dcvsr.degradation.walk import Params, walked

Strength = dict[str, float | None]
"""``blur noise jpeg codec crf``; None for a step that was not applied."""

PHOTONS = 256
"""Photons of white in a frame of more than 128 levels (see `dcvsr.degradation.noise.poisson`)."""


def strength(params: Params, frames: int) -> Strength:
    """Compute the strength of drawn parameters for a clip of ``frames`` frames; walks are averaged.

    ``blur``: standard deviation of all blurs combined, in pixels of the frames they act on.
    ``noise``: standard deviation of all noises combined, in levels of 255, at mid-gray.
    ``jpeg``: lowest quality. ``codec``: lowest bit rate in bits per frame and LR pixel.
    ``crf``: highest rate factor of a codec without a bit rate.
    """
    found: dict[str, list[float]] = defaultdict(list)
    for drawn in _single(params):
        name, number = _number(drawn, frames)
        found[name].append(number)
    budget, pixels = found["budget"], found["pixels"]
    return {
        "blur": math.sqrt(sum(found["blur"])) if found["blur"] else None,
        "noise": math.sqrt(sum(found["noise"])) if found["noise"] else None,
        "jpeg": min(found["jpeg"], default=None),
        "codec": min(budget) / pixels[-1] if budget and pixels else None,
        "crf": max(found["crf"], default=None),
    }


def _number(drawn: Params, frames: int) -> tuple[str, float]:
    """Return the kind and the number of one step; blur and noise as variances, LR as its pixel count."""
    found = ("", 0.0)
    match drawn:
        case {"kind": _, "size": _}:
            found = "blur", _blur_variance(drawn, frames)
        case {"kind": kind, "strength": walk}:
            found = "noise", _noise_variance(kind, walk, frames)
        case {"quality": walk}:
            found = "jpeg", fmean(map(round, _values(walk, frames)))
        case {"bit_rate": bits}:
            found = "budget", bits
        case {"crf": factor}:
            found = "crf", factor
        case {"kernel": _, "size": [height, width]}:
            found = "pixels", height * width
    return found


def kernel_variance(kernel: Tensor) -> float:
    """Compute the variance of a centred ``y x`` kernel in square pixels: geometric mean over its axes."""
    taps = torch.arange(len(kernel), dtype=kernel.dtype) - (len(kernel) - 1) / 2
    down, right = (kernel.sum(1) @ taps**2).item(), (kernel.sum(0) @ taps**2).item()
    both = (taps @ kernel @ taps).item()
    return math.sqrt(max(down * right - both**2, 0.0))


def _single(params: Params) -> Iterator[Params]:
    """Yield the parameters of each elementary step that is applied, in order."""
    for drawn in filter(None, params.values()):
        if all(part is None or _is_step(part) for part in drawn.values()):
            yield from _single(drawn)
        else:
            yield drawn


def _is_step(part: object) -> bool:
    """Tell a step's parameters from those of a walk."""
    return isinstance(part, Mapping) and "start" not in part


def _blur_variance(params: Params, frames: int) -> float:
    """Compute the mean variance of the kernels, which may be truncated or flat-topped.

    The variance of a sinc kernel does not describe its blur, because it passes all frequencies below its
    cutoff. It counts as the Gaussian that halves the amplitude at the cutoff.
    """
    if params["kind"] == "sinc":
        return fmean(2 * math.log(2) / omega**2 for omega in _values(params["omega"], frames))
    return fmean(map(kernel_variance, islice(drawn_kernels(params), frames)))


def _noise_variance(kind: str, walk: Params, frames: int) -> float:
    """Compute the noise variance in squared levels."""
    variance = 1.0 if kind == "gaussian" else 255**2 * 0.5 / PHOTONS
    return variance * fmean(value**2 for value in _values(walk, frames))


def _values(walk: Params, frames: int) -> list[float]:
    return list(islice(walked(walk), frames))

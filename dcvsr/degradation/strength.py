"""How strong a degradation was: a few numbers a clip, from what was drawn for it.

They order the clips of a data set. What resizing and the steps after do to blur and noise is left out.
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
"""``blur noise jpeg codec crf``; None of what did not happen."""

PHOTONS = 256
"""White's, in a frame of more than 128 levels, as real video has them (`dcvsr.degradation.noise.poisson`)."""


def strength(params: Params, frames: int) -> Strength:
    """Of what a degradation drew for a clip of so many frames; walks are averaged over them.

    ``blur``: standard deviation of all blurs one after the other, in pixels of the frames that each acts on.
    ``noise``: standard deviation of all noises, in levels of 255, at mid-gray.
    ``jpeg``: the lowest quality. ``codec``: the lowest budget in bits a frame, for each pixel of LR.
    ``crf``: the highest rate factor, of a codec without a budget.
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
    """What a single step is known by: variances of blur and noise, and pixels that LR has."""
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
    """Of a centred ``y x`` kernel that sums to one: the geometric mean over its axes, in square pixels."""
    taps = torch.arange(len(kernel), dtype=kernel.dtype) - (len(kernel) - 1) / 2
    down, right = (kernel.sum(1) @ taps**2).item(), (kernel.sum(0) @ taps**2).item()
    both = (taps @ kernel @ taps).item()
    return math.sqrt(max(down * right - both**2, 0.0))


def _single(params: Params) -> Iterator[Params]:
    """What each single step that takes place drew, in order."""
    for drawn in filter(None, params.values()):
        if all(part is None or _is_step(part) for part in drawn.values()):
            yield from _single(drawn)
        else:
            yield drawn


def _is_step(part: object) -> bool:
    """A walk is none."""
    return isinstance(part, Mapping) and "start" not in part


def _blur_variance(params: Params, frames: int) -> float:
    """Measured on the kernels, which are truncated and may be flat-topped.

    A sinc kernel keeps what is below its cutoff, so its variance says nothing: it counts as the Gaussian that
    halves the amplitude at the cutoff.
    """
    if params["kind"] == "sinc":
        return fmean(2 * math.log(2) / omega**2 for omega in _values(params["omega"], frames))
    return fmean(map(kernel_variance, islice(drawn_kernels(params), frames)))


def _noise_variance(kind: str, walk: Params, frames: int) -> float:
    """In square levels."""
    variance = 1.0 if kind == "gaussian" else 255**2 * 0.5 / PHOTONS
    return variance * fmean(value**2 for value in _values(walk, frames))


def _values(walk: Params, frames: int) -> list[float]:
    return list(islice(walked(walk), frames))

"""Frame selection and direction of TAP: the paper's choices and alternatives.

Axes: m tiles, f frames, h heads, p positions, d channels per head; l selected frames.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor

Select = Callable[[Tensor, int, Sequence[str]], Tensor]
"""``(keys m f h p d, L, draws) -> frames m l``; ``draws`` seeds each tile's random selection."""


def deviation(k: Tensor) -> Tensor:
    """Compute the standard deviation of each frame's keys, ``m f``, in float64 for stable ranks."""
    return k.double().std(dim=(-3, -2, -1))


def largest(score: Tensor, count: int) -> Tensor:
    """Return the indices of the ``count`` largest of ``m f``; ties go to the earlier frame."""
    return score.argsort(dim=1, descending=True, stable=True)[:, :count]


def std(k: Tensor, count: int, draws: Sequence[str]) -> Tensor:
    """Select the frames whose keys have the largest standard deviation (section 3.2).

    The paper leaves the axes open; this takes all tokens and channels of a frame's keys (spec A7).
    """
    return largest(deviation(k), count)


def channel_std(k: Tensor, count: int, draws: Sequence[str]) -> Tensor:
    """Select by the standard deviation over tokens, averaged over channels; ignores channel offsets."""
    return largest(k.double().std(dim=-2).mean(dim=(-2, -1)), count)


def random_frames(k: Tensor, count: int, draws: Sequence[str]) -> Tensor:
    """Select random frames, drawn anew for each window and layer (appendix B)."""
    frames = [random.Random(draw).sample(range(k.shape[1]), min(count, k.shape[1])) for draw in draws]
    return torch.tensor(frames, device=k.device)


def first_frames(k: Tensor, count: int, draws: Sequence[str]) -> Tensor:
    """Select the first ``count`` frames of the window."""
    return torch.arange(min(count, k.shape[1]), device=k.device).expand(len(k), -1)


Selection = Literal["std", "channel_std", "random", "first"]
SELECTIONS: Mapping[Selection, Select] = {
    "std": std,
    "channel_std": channel_std,
    "random": random_frames,
    "first": first_frames,
}

Choose = Callable[[dict[str, Tensor], Callable[[], Tensor]], Tensor]
"""``(frames selected in earlier layers, selection of this layer) -> frames``."""


def per_layer(chosen: dict[str, Tensor], select: Callable[[], Tensor]) -> Tensor:
    """Select frames in each layer separately (spec A7)."""
    return select()


def by_first_layer(chosen: dict[str, Tensor], select: Callable[[], Tensor]) -> Tensor:
    """Use the selection of the first layer in all layers."""
    return next(iter(chosen.values())) if chosen else select()


Choice = Literal["per_layer", "first_layer"]
CHOICES: Mapping[Choice, Choose] = {"per_layer": per_layer, "first_layer": by_first_layer}


def taken(x: Tensor, frames: Tensor) -> Tensor:
    """Gather keys or values ``m f h p d`` of ``frames`` ``m l`` for all frames: ``m 1 h (l p) d``."""
    picked = x[torch.arange(len(x), device=x.device)[:, None], frames]
    return rearrange(picked, "m l h p d -> m 1 h (l p) d")


Order = Sequence[int]
Direct = Callable[[int, int, int], list[Order]]
"""``(number of the TAP step, windows, seed) -> orders`` of the windows."""


def alternate(number: int, windows: int, seed: int) -> list[Order]:
    """Alternate forward and backward over TAP steps (spec A5)."""
    forward = range(windows)
    return [forward if number % 2 == 0 else forward[::-1]]


def either(number: int, windows: int, seed: int) -> list[Order]:
    """Choose forward or backward at random."""
    return alternate(random.Random(f"{seed}/{number}").randrange(2), windows, seed)


def both(number: int, windows: int, seed: int) -> list[Order]:
    """Run both directions in each step and average them, at twice the cost."""
    return [*alternate(0, windows, seed), *alternate(1, windows, seed)]


Direction = Literal["alternate", "random", "both"]
DIRECTIONS: Mapping[Direction, Direct] = {"alternate": alternate, "random": either, "both": both}

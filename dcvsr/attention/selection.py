"""Which frames of a window TAP hands on, and in which direction: the paper's choice and its alternatives.

Axes: m tiles, f frames, h heads, p positions, d channels per head; l frames chosen.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor

Select = Callable[[Tensor, int, Sequence[str]], Tensor]
"""``(keys m f h p d, L, draws) -> frames m l``; ``draws`` names each tile's random draw, if it is one."""


def deviation(k: Tensor) -> Tensor:
    """Standard deviation of all elements of a frame's keys, ``m f``; float64, as near-equal ones may flip."""
    return k.double().std(dim=(-3, -2, -1))


def largest(score: Tensor, count: int) -> Tensor:
    """Indices of the ``count`` largest of ``m f``, ties to the earlier."""
    return score.argsort(dim=1, descending=True, stable=True)[:, :count]


def std(k: Tensor, count: int, draws: Sequence[str]) -> Tensor:
    """The frames whose keys have the largest standard deviations (section 3.2).

    The paper leaves open over what; we take all elements of a frame's keys, tokens and channels (spec A7).
    """
    return largest(deviation(k), count)


def channel_std(k: Tensor, count: int, draws: Sequence[str]) -> Tensor:
    """The same with the deviation over tokens, mean over channels, which channel offsets cannot raise."""
    return largest(k.double().std(dim=-2).mean(dim=(-2, -1)), count)


def random_frames(k: Tensor, count: int, draws: Sequence[str]) -> Tensor:
    """Appendix B's rival: any frames, drawn anew for each window and layer."""
    frames = [random.Random(draw).sample(range(k.shape[1]), min(count, k.shape[1])) for draw in draws]
    return torch.tensor(frames, device=k.device)


def first_frames(k: Tensor, count: int, draws: Sequence[str]) -> Tensor:
    """The first ``count`` frames of the window."""
    return torch.arange(min(count, k.shape[1]), device=k.device).expand(len(k), -1)


Selection = Literal["std", "channel_std", "random", "first"]
SELECTIONS: Mapping[Selection, Select] = {
    "std": std,
    "channel_std": channel_std,
    "random": random_frames,
    "first": first_frames,
}

Choose = Callable[[dict[str, Tensor], Callable[[], Tensor]], Tensor]
"""``(frames chosen in earlier layers, how this layer would choose) -> frames``."""


def per_layer(chosen: dict[str, Tensor], select: Callable[[], Tensor]) -> Tensor:
    """Each layer chooses for itself (spec A7)."""
    return select()


def by_first_layer(chosen: dict[str, Tensor], select: Callable[[], Tensor]) -> Tensor:
    """The first layer chooses for all."""
    return next(iter(chosen.values())) if chosen else select()


Choice = Literal["per_layer", "first_layer"]
CHOICES: Mapping[Choice, Choose] = {"per_layer": per_layer, "first_layer": by_first_layer}


def taken(x: Tensor, frames: Tensor) -> Tensor:
    """Keys or values ``m f h p d`` of ``frames`` ``m l``, for every frame to see: ``m 1 h (l p) d``."""
    picked = x[torch.arange(len(x), device=x.device)[:, None], frames]
    return rearrange(picked, "m l h p d -> m 1 h (l p) d")


Order = Sequence[int]
Direct = Callable[[int, int, int], list[Order]]
"""``(number of the TAP step, windows, seed) -> `` the orders in which to visit the windows."""


def alternate(number: int, windows: int, seed: int) -> list[Order]:
    """Forward, backward, forward, ... (spec A5)."""
    forward = range(windows)
    return [forward if number % 2 == 0 else forward[::-1]]


def either(number: int, windows: int, seed: int) -> list[Order]:
    """Forward or backward by a coin."""
    return alternate(random.Random(f"{seed}/{number}").randrange(2), windows, seed)


def both(number: int, windows: int, seed: int) -> list[Order]:
    """Both in one step, averaged: twice the cost."""
    return [*alternate(0, windows, seed), *alternate(1, windows, seed)]


Direction = Literal["alternate", "random", "both"]
DIRECTIONS: Mapping[Direction, Direct] = {"alternate": alternate, "random": either, "both": both}

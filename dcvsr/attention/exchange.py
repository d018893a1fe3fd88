"""Exchange of keys and values between tiles.

Axes: m tiles of a group, f frames, h heads, p positions, d channels per head; keys and values ``m f h p d``.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

from dcvsr.attention.lockstep import meet

Keys = tuple[Tensor, Tensor]
"""K and V of one layer."""

Propagate = Callable[[str, Tensor, Tensor], Keys]
"""``(layer, K, V) -> (K^, V^)``; the tile's own keys come first."""

Evaluate = Callable[[Propagate], Tensor]
"""One U-Net evaluation in which the propagated layers attend to the output of a ``Propagate``."""

Give = Callable[[str, Tensor, Tensor], Keys]
"""``(layer, K, V) -> (K, V)`` for the other tiles."""


def alone(layer: str, k: Tensor, v: Tensor) -> Keys:
    """Return a tile's own keys and values: no propagation."""
    return k, v


def merged(own: Keys, *others: Keys) -> Keys:
    """Compute K^, V^ of Eq. (2): a tile's own, then the others', which are equal for all tiles of a group."""
    k, v = (
        torch.cat([x, *(other.expand(*x.shape[:-2], *other.shape[-2:]) for other in given)], dim=-2)
        for x, *given in zip(own, *others, strict=True)
    )
    return k, v


def lockstep(evaluate: Evaluate, give: Give) -> Tensor:
    """Run SAP in one evaluation: the tiles of a window advance together and exchange per layer (spec A2)."""

    def propagate(layer: str, k: Tensor, v: Tensor) -> Keys:
        return merged((k, v), *meet(give(layer, k, v)))

    return evaluate(propagate)


def two_pass(evaluate: Evaluate, give: Give) -> Tensor:
    """Run SAP as in Fig. 2 (b): a first evaluation collects the keys and a second one injects them."""
    given: dict[str, Keys] = {}

    def collect(layer: str, k: Tensor, v: Tensor) -> Keys:
        given[layer] = give(layer, k, v)
        return k, v

    evaluate(collect)
    exchanged = meet(given)

    def inject(layer: str, k: Tensor, v: Tensor) -> Keys:
        return merged((k, v), *(tile[layer] for tile in exchanged))

    return evaluate(inject)


Exchange = Literal["lockstep", "two_pass"]
EXCHANGES: Mapping[Exchange, Callable[[Evaluate, Give], Tensor]] = {
    "lockstep": lockstep,
    "two_pass": two_pass,
}


def chained(evaluate: Evaluate, give: Give, receive: Propagate) -> Tensor:
    """Run TAP in one evaluation: given keys are computed with the received keys (Fig. 2 (c); spec A6)."""

    def propagate(layer: str, k: Tensor, v: Tensor) -> Keys:
        give(layer, k, v)
        return receive(layer, k, v)

    return evaluate(propagate)


def clean(evaluate: Evaluate, give: Give, receive: Propagate) -> Tensor:
    """Run TAP in two evaluations: given keys come from an evaluation without propagation."""

    def collect(layer: str, k: Tensor, v: Tensor) -> Keys:
        give(layer, k, v)
        return k, v

    evaluate(collect)
    return evaluate(receive)


Source = Literal["chained", "clean"]
SOURCES: Mapping[Source, Callable[[Evaluate, Give, Propagate], Tensor]] = {
    "chained": chained,
    "clean": clean,
}

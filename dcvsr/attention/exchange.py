"""How merged keys and values come about: which evaluations of the U-Net, and what each layer sees in them.

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
"""``(layer, K, V) -> (K^, V^)``, the tile's own first."""

Evaluate = Callable[[Propagate], Tensor]
"""One evaluation of the U-Net, whose propagated layers attend to what a ``Propagate`` gives."""

Give = Callable[[str, Tensor, Tensor], Keys]
"""``(layer, K, V) ->`` what other tiles get of them."""


def alone(layer: str, k: Tensor, v: Tensor) -> Keys:
    """No propagation."""
    return k, v


def merged(own: Keys, *others: Keys) -> Keys:
    """K^, V^ of Eq. (2): the tile's own, then the others', the same for every tile of a group."""
    k, v = (
        torch.cat([x, *(other.expand(*x.shape[:-2], *other.shape[-2:]) for other in given)], dim=-2)
        for x, *given in zip(own, *others, strict=True)
    )
    return k, v


def lockstep(evaluate: Evaluate, give: Give) -> Tensor:
    """SAP in one evaluation: all tiles of a window advance together and exchange in each layer (spec A2)."""

    def propagate(layer: str, k: Tensor, v: Tensor) -> Keys:
        return merged((k, v), *meet(give(layer, k, v)))

    return evaluate(propagate)


def two_pass(evaluate: Evaluate, give: Give) -> Tensor:
    """SAP as Fig. 2 (b) draws it: a plain evaluation collects what the second one injects."""
    given: dict[str, Keys] = {}

    def collect(layer: str, k: Tensor, v: Tensor) -> Keys:
        given[layer] = give(layer, k, v)
        return k, v

    evaluate(collect)
    everybody = meet(given)

    def inject(layer: str, k: Tensor, v: Tensor) -> Keys:
        return merged((k, v), *(tile[layer] for tile in everybody))

    return evaluate(inject)


Exchange = Literal["lockstep", "two_pass"]
EXCHANGES: Mapping[Exchange, Callable[[Evaluate, Give], Tensor]] = {
    "lockstep": lockstep,
    "two_pass": two_pass,
}


def chained(evaluate: Evaluate, give: Give, receive: Propagate) -> Tensor:
    """TAP in one evaluation: what is given was computed with what was received (Fig. 2 (c); spec A6)."""

    def propagate(layer: str, k: Tensor, v: Tensor) -> Keys:
        give(layer, k, v)
        return receive(layer, k, v)

    return evaluate(propagate)


def clean(evaluate: Evaluate, give: Give, receive: Propagate) -> Tensor:
    """TAP that gives what a plain evaluation computes: two evaluations."""

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

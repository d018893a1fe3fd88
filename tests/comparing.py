"""Comparisons that NaN fails, unlike ``not allclose(...)`` and ``scores == sorted(scores)``."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from torch import Tensor


def apart(one: Tensor, other: Tensor, by: float = 0.0) -> bool:
    """Tell whether the largest difference of two tensors is above ``by`` and none of their values is NaN."""
    return bool((one.double() - other.double()).abs().max() > by)


def rise(values: Iterable[Any]) -> bool:
    """Tell whether there are two values or more, each at most the next, and none is NaN."""
    pairs = list(pairwise(values))
    return bool(pairs) and all(one <= other for one, other in pairs)

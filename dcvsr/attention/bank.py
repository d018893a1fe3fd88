"""Keys and values of the frames that TAP passes from one temporal window to the next.

Axes: m tiles of a group, h heads, p positions, l frames, d channels per head.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from einops import rearrange
from torch import Tensor

from dcvsr.attention.exchange import Keys
from dcvsr.attention.selection import largest, taken


@dataclass(frozen=True)
class Bank:
    """Propagated frames of one layer: K', V' ``m 1 h (l p) d`` and their standard deviations ``m l``."""

    keys: Keys
    score: Tensor

    def best(self, other: "Bank | None", count: int) -> "Bank":
        """Return the ``count`` frames of both banks whose keys have the largest standard deviation."""
        banks = [other, self] if other else [self]
        score = torch.cat([bank.score for bank in banks], dim=1)
        frames = largest(score, count)
        k, v = (
            taken(rearrange(torch.cat(x, dim=-2), "m 1 h (l p) d -> m l h p d", l=score.shape[1]), frames)
            for x in zip(*(bank.keys for bank in banks), strict=True)
        )
        return Bank((k, v), score.gather(1, frames))


@dataclass(frozen=True)
class Handed:
    """Output of one window to the next one in one layer: its own frames and anchors of earlier windows."""

    newest: Bank
    anchors: Bank | None

    @property
    def keys(self) -> list[Keys]:
        """Keys and values of the newest frames, then of the anchors if there are any."""
        return [bank.keys for bank in (self.newest, self.anchors) if bank]

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors by name, for a file."""
        banks = {"newest": self.newest, "anchors": self.anchors}
        return {
            f"{name}.{part}": tensor
            for name, bank in banks.items()
            if bank
            for part, tensor in zip(("k", "v", "score"), (*bank.keys, bank.score), strict=True)
        }

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Return the output that ``tensors`` came from."""
        newest, anchors = (
            Bank((tensors[f"{name}.k"], tensors[f"{name}.v"]), tensors[f"{name}.score"])
            if f"{name}.k" in tensors
            else None
            for name in ("newest", "anchors")
        )
        assert newest is not None
        return cls(newest, anchors)

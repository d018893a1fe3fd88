"""Frames that TAP hands from window to window.

Axes: m tiles of a group, h heads, p positions, l frames, d channels per head.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from dcvsr.attention.exchange import Keys
from dcvsr.attention.selection import largest, taken


@dataclass(frozen=True)
class Bank:
    """Frames of one layer to attend to: K', V' ``m 1 h (l p) d``, and their deviations, ``m l``."""

    keys: Keys
    score: Tensor

    def best(self, other: "Bank | None", count: int) -> "Bank":
        """The ``count`` best-keyed frames of both."""
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
    """What one window hands on to the next in one layer: its own frames, and anchors of windows before it."""

    newest: Bank
    anchors: Bank | None

    @property
    def keys(self) -> list[Keys]:
        return [bank.keys for bank in (self.newest, self.anchors) if bank]

"""Self-attention functions of queries, keys and values.

Axes: any leading axes (tile, frame, head), p positions of the tile, n keys (the tile's own p first), d
channels per head. q ``... p d``; k, v ``... n d``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from dcvsr.runtime.device import without_autocast

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""``(q, k, v) -> ... p d``."""

PER_HEAD, PER_FRAME, PER_TILE = (-2, -1), (-3, -2, -1), (-4, -3, -2, -1)
"""Choices of the axes of ``tile frame head p d`` over which Eq. (7) takes its maxima (spec A8)."""


def self_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Compute Eq. (1), softmax(Q K^T / sqrt(d)) V; with merged keys and values it is Eq. (2)."""
    lead = q.shape[:-3]
    if len(lead) > 1:  # torch's fused kernels take four axes
        return self_attention(*(x.flatten(0, -4) for x in (q, k, v))).unflatten(0, lead)
    return F.scaled_dot_product_attention(q, k, v)


def suppressed_attention(
    q: Tensor, k: Tensor, v: Tensor, gamma: float, maxima: tuple[int, ...] = PER_HEAD
) -> Tensor:
    """Compute Eq. (7): a larger gamma flattens the attention weights, towards the mean of V.

    Dividing Q instead of the scores keeps the fused kernel. The paper leaves open over which elements the
    maxima of q and k are taken. The default takes them per frame and head, so results do not depend on
    batching (spec A8).
    """
    exact = torch.promote_types(q.dtype, torch.float32)
    q_max, k_max = (x.abs().amax(maxima, keepdim=True).to(exact) for x in (q, k))
    return self_attention((q / (gamma**2 * q_max * k_max).clamp(min=1)).to(q.dtype), k, v)  # Eq. (7)


def identity_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return the tile's own V, never a merged one: PAG's perturbation, text below Eq. (6)."""
    return v[..., : q.shape[-2], :]


def attention_mass(q: Tensor, k: Tensor) -> Tensor:
    """Compute the share of the attention of Eq. (1) on the tile's own keys, mean over queries; ``...``."""
    own, scores = q.shape[-2], _scores(q, k)
    return (scores[..., :own].logsumexp(-1) - scores.logsumexp(-1)).exp().mean(-1)


def _scores(q: Tensor, k: Tensor) -> Tensor:
    """Compute Q K^T / sqrt(d) in at least float32, independent of the network's precision."""
    exact = torch.promote_types(q.dtype, torch.float32)
    with without_autocast(q.device):
        return q.to(exact) @ k.to(exact).mT / q.shape[-1] ** 0.5


@dataclass
class ReceivedAttention:
    """Self-attention that records the attention each position receives, for SAG (Hong et al. 2023).

    Each call writes ``map``: ``... p``, attention on the tile's own keys, averaged over heads and summed over
    queries; its mean is 1.
    """

    map: Tensor = field(init=False)

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Compute Eq. (1) and record the map."""
        self.map = _scores(q, k[..., : q.shape[-2], :]).softmax(-1).mean(-3).sum(-2)
        return self_attention(q, k, v)

"""Matching patches of two reference frames.

Axes: frames ``c h w`` in [0, 1]; n square patches, given by their top left corners (y, x), of p pixels;
u v candidate positions.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import einsum, rearrange
from torch import Tensor
from torch.nn import functional as F

from dcvsr.imaging import FACTOR

FAINT = 1e-3  # lower bound of a patch's norm: keeps the correlation of a flat patch near 0

Allowed = Callable[[Tensor, Tensor], Tensor]
"""Function of the distances (dy, dx) in pixels that says which patches may form a pair; broadcasts."""


@dataclass(frozen=True)
class Correspondence:
    """Search for the best match in one frame of each non-overlapping patch of another.

    Normalised cross-correlation at LR size finds the candidate. The detail that LR cannot hold then refines
    the position to a pixel and decides whether the pair counts.

    Attributes:
        patch: side in pixels, a multiple of 4.
        similar: smallest correlation of detail at which two patches form a pair.
        contrast: smallest root mean square of detail, in [0, 1], of a patch that is compared.
    """

    patch: int
    similar: float
    contrast: float

    def __call__(self, here: Tensor, there: Tensor, allowed: Allowed) -> tuple[Tensor, Tensor]:
        """Return the corners of matching patches in ``here`` and in ``there``: two tensors ``n 2``."""
        side = self.patch // FACTOR
        rows, columns, templates = _normalised(downsampled(here), side, side)
        ys, xs, candidates = _normalised(downsampled(there), side, 1)
        fine = detail(here), detail(there)
        pairs = [(torch.cartesian_prod(rows, columns)[:0],) * 2]
        for y, strip in zip(rows, templates, strict=True):
            correlation = einsum(strip, candidates, "x p, u v p -> x u v")
            dy, dx = (ys - y)[:, None], xs - columns[:, None, None]
            correlation = correlation.masked_fill(~allowed(FACTOR * dy, FACTOR * dx), -1)
            best = rearrange(correlation, "x u v -> x (u v)").max(dim=1)
            keep = best.values > 0
            at = torch.stack([y.expand_as(columns), columns], dim=1)[keep]
            near = torch.stack([ys[best.indices // len(xs)], xs[best.indices % len(xs)]], dim=1)[keep]
            pairs.append(self._refined(*fine, FACTOR * at, FACTOR * near))
        at, found = (torch.cat(corners) for corners in zip(*pairs, strict=True))
        keep = allowed(*(found - at).unbind(1))
        return at[keep], found[keep]

    def _refined(self, here: Tensor, there: Tensor, at: Tensor, near: Tensor) -> tuple[Tensor, Tensor]:
        """Move ``near`` by up to one LR pixel to the best match of detail; drop pairs that match poorly."""
        textured = patches(here, at, self.patch).square().mean((1, 2, 3)) >= self.contrast**2
        at, near = at[textured], near[textured]
        template = patches(here, at, self.patch)
        window = patches(F.pad(there, [FACTOR] * 4), near, self.patch + 2 * FACTOR)
        moved = window.unfold(2, self.patch, 1).unfold(3, self.patch, 1)
        norm = template.square().sum((1, 2, 3)).sqrt()
        norms = (F.avg_pool2d(window.square(), self.patch, 1)[:, 0] * self.patch**2).sqrt()
        product = einsum(template, moved, "n c p q, n c y x p q -> n y x")
        correlation = product / (norm[:, None, None] * norms).clamp(min=FAINT)
        best = rearrange(correlation, "n y x -> n (y x)").max(dim=1)
        y, x = best.indices // (2 * FACTOR + 1), best.indices % (2 * FACTOR + 1)
        found = near + torch.stack([y, x], dim=1) - FACTOR
        last = found.new_tensor(there.shape[-2:]) - self.patch
        inside = ((found >= 0) & (found <= last)).all(dim=1)
        keep = inside & (best.values >= self.similar)
        return at[keep], found[keep]


def downsampled(frame: Tensor) -> Tensor:
    """Downsample brightness, the mean of the colours, to LR size: ``c h w`` -> ``1 h/4 w/4``."""
    size = [side // FACTOR for side in frame.shape[-2:]]
    grey = frame.mean(dim=0, keepdim=True)
    return F.interpolate(grey[None], size, mode="bicubic", antialias=True, align_corners=False)[0]


def detail(frame: Tensor) -> Tensor:
    """Subtract from brightness what LR can hold, by bicubic resampling: ``c h w`` -> ``1 h w``."""
    size = frame.shape[-2:]
    coarse = F.interpolate(downsampled(frame)[None], size, mode="bicubic", align_corners=False)[0]
    return frame.mean(dim=0, keepdim=True) - coarse


def patches(frame: Tensor, corners: Tensor, side: int) -> Tensor:
    """Cut patches out of ``frame`` ``c h w`` at ``corners`` ``n 2``: ``n c side side``."""
    reach = torch.arange(side, device=frame.device)
    rows, columns = (corners[:, None] + reach[:, None]).unbind(-1)
    return rearrange(frame[:, rows[:, :, None], columns[:, None, :]], "c n p q -> n c p q")


def _normalised(frame: Tensor, side: int, stride: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return rows, columns and values ``y x p`` of all patches of ``frame`` ``1 h w``: mean 0, norm 1."""
    y, x = (torch.arange(0, max(0, n - side + 1), stride, device=frame.device) for n in frame.shape[-2:])
    values = rearrange(patches(frame, torch.cartesian_prod(y, x), side), "(y x) 1 p q -> y x (p q)", x=len(x))
    values = values - values.mean(dim=-1, keepdim=True)
    return y, x, values / values.norm(dim=-1, keepdim=True).clamp(min=FAINT)

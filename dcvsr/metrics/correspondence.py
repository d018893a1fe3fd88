"""Which places of two frames show the same, as the reference tells.

Axes: frames ``c h w`` in [0, 1]; n square patches, told by their corners (y, x), of p pixels; u v places.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import einsum, rearrange
from torch import Tensor
from torch.nn import functional as F

from dcvsr.imaging import FACTOR

FAINT = 1e-3  # norm of a patch that shows nothing, and is like nothing

Allowed = Callable[[Tensor, Tensor], Tensor]
"""Distances along both sides in pixels -> whether places so far apart may be a pair; broadcast."""


@dataclass(frozen=True)
class Correspondence:
    """The patches of a frame, side by side, each with the patch of another frame that is most like it.

    Sought at LR size by normalised cross-correlation; then placed to the pixel, and judged, by the detail
    that LR cannot hold.

    Attributes:
        patch: side in pixels, a multiple of 4.
        similar: correlation of detail below which two patches are not alike, and no pair.
        contrast: root mean square of detail, in [0, 1], below which a patch has nothing to compare.
    """

    patch: int
    similar: float
    contrast: float

    def __call__(self, here: Tensor, there: Tensor, allowed: Allowed) -> tuple[Tensor, Tensor]:
        """Corners in ``here``, and the same places' in ``there``: ``n 2``, twice."""
        side = self.patch // FACTOR
        rows, columns, templates = _normalised(reduced(here), side, side)
        ys, xs, candidates = _normalised(reduced(there), side, 1)
        fine = detail(here), detail(there)
        pairs = [(torch.cartesian_prod(rows, columns)[:0],) * 2]
        for y, strip in zip(rows, templates, strict=True):
            alike = einsum(strip, candidates, "x p, u v p -> x u v")
            dy, dx = (ys - y)[:, None], xs - columns[:, None, None]
            alike = alike.masked_fill(~allowed(FACTOR * dy, FACTOR * dx), -1)
            best = rearrange(alike, "x u v -> x (u v)").max(dim=1)
            keep = best.values > 0
            at = torch.stack([y.expand_as(columns), columns], dim=1)[keep]
            near = torch.stack([ys[best.indices // len(xs)], xs[best.indices % len(xs)]], dim=1)[keep]
            pairs.append(self._placed(*fine, FACTOR * at, FACTOR * near))
        at, found = (torch.cat(corners) for corners in zip(*pairs, strict=True))
        keep = allowed(*(found - at).unbind(1))
        return at[keep], found[keep]

    def _placed(self, here: Tensor, there: Tensor, at: Tensor, near: Tensor) -> tuple[Tensor, Tensor]:
        """``near`` moved by up to an LR pixel to where the details agree best; only what agrees well."""
        textured = patches(here, at, self.patch).square().mean((1, 2, 3)) >= self.contrast**2
        at, near = at[textured], near[textured]
        template = patches(here, at, self.patch)
        window = patches(F.pad(there, [FACTOR] * 4), near, self.patch + 2 * FACTOR)
        moved = window.unfold(2, self.patch, 1).unfold(3, self.patch, 1)
        norm = template.square().sum((1, 2, 3)).sqrt()
        norms = (F.avg_pool2d(window.square(), self.patch, 1)[:, 0] * self.patch**2).sqrt()
        product = einsum(template, moved, "n c p q, n c y x p q -> n y x")
        alike = product / (norm[:, None, None] * norms).clamp(min=FAINT)
        best = rearrange(alike, "n y x -> n (y x)").max(dim=1)
        y, x = best.indices // (2 * FACTOR + 1), best.indices % (2 * FACTOR + 1)
        found = near + torch.stack([y, x], dim=1) - FACTOR
        last = found.new_tensor(there.shape[-2:]) - self.patch
        inside = ((found >= 0) & (found <= last)).all(dim=1)
        keep = inside & (best.values >= self.similar)
        return at[keep], found[keep]


def reduced(frame: Tensor) -> Tensor:
    """Brightness at LR size, the mean of the colours: ``c h w`` -> ``1 h/4 w/4``."""
    size = [side // FACTOR for side in frame.shape[-2:]]
    grey = frame.mean(dim=0, keepdim=True)
    return F.interpolate(grey[None], size, mode="bicubic", antialias=True, align_corners=False)[0]


def detail(frame: Tensor) -> Tensor:
    """What LR cannot hold: brightness less its bicubic reduction, upsampled: ``c h w`` -> ``1 h w``."""
    size = frame.shape[-2:]
    held = F.interpolate(reduced(frame)[None], size, mode="bicubic", align_corners=False)[0]
    return frame.mean(dim=0, keepdim=True) - held


def patches(frame: Tensor, corners: Tensor, side: int) -> Tensor:
    """Patches of ``frame`` ``c h w`` at ``corners`` ``n 2``: ``n c side side``."""
    reach = torch.arange(side, device=frame.device)
    rows, columns = (corners[:, None] + reach[:, None]).unbind(-1)
    return rearrange(frame[:, rows[:, :, None], columns[:, None, :]], "c n p q -> n c p q")


def _normalised(frame: Tensor, side: int, stride: int) -> tuple[Tensor, Tensor, Tensor]:
    """Every patch of ``frame`` ``1 h w``: rows, columns, and values of mean 0 and norm 1, ``y x p``."""
    y, x = (torch.arange(0, max(0, n - side + 1), stride, device=frame.device) for n in frame.shape[-2:])
    values = rearrange(patches(frame, torch.cartesian_prod(y, x), side), "(y x) 1 p q -> y x (p q)", x=len(x))
    values = values - values.mean(dim=-1, keepdim=True)
    return y, x, values / values.norm(dim=-1, keepdim=True).clamp(min=FAINT)

"""Guidance: combinations of several denoised estimates.

The paper writes guidance on the noise eps. With x = D + sigma eps, its Eqs. (3), (6), (8) and (9) hold for D
unchanged. A guidance receives a denoise callable and a condition with its null. It computes the conditional
estimate first, so the n-th evaluation of one tile is the n-th of every other.

Axes: x and D ``b f k h w``, or any other with channels, rows and columns last.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from einops import rearrange
from kornia.filters import gaussian_blur2d
from torch import Tensor
from torch.nn import functional as F

from dcvsr.attention.layer_names import resolution
from dcvsr.attention.self_attention import (
    PER_FRAME,
    PER_HEAD,
    PER_TILE,
    ReceivedAttention,
    identity_attention,
    suppressed_attention,
)
from dcvsr.diffusion.protocols import C, Denoise
from dcvsr.diffusion.schedule import suppression
from dcvsr.runtime.choices import require_choice
from dcvsr.runtime.device import without_autocast
from dcvsr.runtime.errors import UserError


def zero_all(condition: C) -> C:
    """Hide l and the image embedding from the unconditional branch, as SVD was trained (spec A10)."""
    return condition.null


def keep_latent(condition: C) -> C:
    """Hide only the image embedding from the unconditional branch."""
    return condition.without_image


def keep_all(condition: C) -> C:
    """Show both branches everything: the stand-alone form of Eqs. (5), (6) and (8)."""
    return condition


Uncond = Literal["zero_all", "keep_latent", "keep_all"]
UNCOND: Mapping[Uncond, Callable[[Any], Any]] = {
    "zero_all": zero_all,
    "keep_latent": keep_latent,
    "keep_all": keep_all,
}

Maxima = Literal["head", "frame", "tile"]
MAXIMA: Mapping[Maxima, tuple[int, ...]] = {"head": PER_HEAD, "frame": PER_FRAME, "tile": PER_TILE}

PerturbedLayers = Literal["mid", "propagated"]
PERTURBED_LAYERS: Mapping[PerturbedLayers, str] = {"mid": "mid", "propagated": "attend"}
"""Layers that PAG perturbs -> argument of `Denoise` that sets their attention."""


@dataclass(frozen=True)
class Interval:
    """Guidance interval of noise levels lo < sigma <= hi (Kynkäänniemi et al. 2024)."""

    lo: float = 0
    hi: float = math.inf

    def __post_init__(self) -> None:
        if not self.lo < self.hi:
            raise ValueError(f"a guidance interval needs lo < hi, got {self.lo}, {self.hi}")

    def __contains__(self, sigma: float) -> bool:
        return self.lo < sigma <= self.hi


@dataclass(frozen=True)
class NoGuidance:
    """The conditional estimate without guidance: one evaluation per step."""

    def evaluations(self, sigma: float) -> int:
        """Return 1."""
        return 1

    def __call__(self, denoise: Denoise[C], x: Tensor, sigma: float, condition: C) -> Tensor:
        """Return the guided estimate, in the shape of ``x``."""
        return denoise(x, sigma, condition)


@dataclass(frozen=True)
class _Guidance:
    """Base class of guidances.

    The paper leaves the scale open; the default is 1, constant over frames (spec A11).

    Attributes:
        scale: s of Eq. (3); 0 disables guidance.
        first_scale: s of a tile's first frame, growing linearly to ``scale`` as in SVD; None for constant s.
        uncond: what the unconditional branch still sees.
        interval: noise levels with guidance; other steps take one evaluation.

    Raises:
        ValueError: if ``uncond`` is not a choice.
    """

    scale: float
    first_scale: float | None = field(default=None, kw_only=True)
    uncond: Uncond = field(default="zero_all", kw_only=True)
    interval: Interval = field(default=Interval(), kw_only=True)

    def __post_init__(self) -> None:
        require_choice("uncond", self.uncond, UNCOND)

    def evaluations(self, sigma: float) -> int:
        """Return the evaluations of a step: 1 outside the interval."""
        return self._branches if sigma in self.interval else 1

    @property
    def _branches(self) -> int:
        return 2

    def unconditional(self, condition: C) -> C:
        """Return what the unconditional branch sees of ``condition``."""
        return UNCOND[self.uncond](condition)

    def _joined(self, D_u: Tensor, D_c: Tensor) -> Tensor:
        return D_u + (1 + self._s(D_c)) * (D_c - D_u)  # Eqs. (3), (4), (9)

    def _s(self, D: Tensor) -> float | Tensor:
        if self.first_scale is None:
            return self.scale
        return rearrange(torch.linspace(self.first_scale, self.scale, D.shape[-4]).to(D), "f -> f 1 1 1")


@dataclass(frozen=True)
class CFG(_Guidance):
    """Classifier-free guidance, Eq. (3); two evaluations per step."""

    def __call__(self, denoise: Denoise[C], x: Tensor, sigma: float, condition: C) -> Tensor:
        """Return the guided estimate, in the shape of ``x``."""
        D_c = denoise(x, sigma, condition)
        if sigma not in self.interval:
            return D_c
        return self._joined(denoise(x, sigma, self.unconditional(condition)), D_c)


@dataclass(frozen=True)
class DSSAG(_Guidance):
    """DSSAG, Eqs. (8), (9): guidance away from a denoiser whose self-attention gamma flattens.

    Two evaluations per step: it includes CFG at no extra cost. ``maxima``: extent of those of q and k in
    Eq. (7), each head of a frame, each frame, or the tile.
    """

    rho: float
    sigma_min: float
    sigma_max: float
    maxima: Maxima = "head"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice("maxima", self.maxima, MAXIMA)
        suppression(self.sigma_max, self.rho, self.sigma_min, self.sigma_max)

    def __call__(self, denoise: Denoise[C], x: Tensor, sigma: float, condition: C) -> Tensor:
        """Return the guided estimate, in the shape of ``x``."""
        D_c = denoise(x, sigma, condition)
        if sigma not in self.interval:
            return D_c
        return self._joined(self.suppressed(denoise, x, sigma, condition), D_c)  # Eqs. (8), (9)

    def suppressed(self, denoise: Denoise[C], x: Tensor, sigma: float, condition: C) -> Tensor:
        """Compute D', the unconditional estimate with Eq. (7) in place of Eq. (1): Fig. 3 (b)."""
        gamma = suppression(sigma, self.rho, self.sigma_min, self.sigma_max)

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return suppressed_attention(q, k, v, gamma, MAXIMA[self.maxima])

        return denoise(x, sigma, self.unconditional(condition), attend=attend)


@dataclass(frozen=True)
class SAG(_Guidance):
    """SAG, Eq. (5), combined with CFG: guidance away from the estimate of b(x), which blurs detail.

    Three evaluations per step; two without CFG (``keep_all``). Hong et al. 2023: detail is where positions
    receive more than the mean of the mid block's self-attention; b blurs the estimate there and keeps the
    noise.
    """

    detail_scale: float

    @property
    def _branches(self) -> int:
        return 2 if self.uncond == "keep_all" else 3

    def __call__(self, denoise: Denoise[C], x: Tensor, sigma: float, condition: C) -> Tensor:
        """Return the guided estimate, in the shape of ``x``."""
        null, attention = self.unconditional(condition), ReceivedAttention()
        D_c = denoise(x, sigma, condition, mid=attention)
        if sigma not in self.interval:
            return D_c
        D_u = D_c if null is condition else denoise(x, sigma, null, mid=attention)
        detail = _detected(attention.map, x) * (D_u - _blurred(D_u))  # x - b(x)
        D_b = denoise(x - detail, sigma, null)
        return self._joined(D_u, D_c) + self.detail_scale * (D_u - D_b - detail)  # Eq. (5)


def _detected(attention: Tensor, x: Tensor) -> Tensor:
    """Return 1 where a position receives more attention than the mean, else 0; ``... 1 h w`` of ``x``."""
    height, width = x.shape[-2:]
    rows, columns = resolution(attention.shape[-1], height, width)
    mask = rearrange((attention > 1).to(x), "... (h w) -> (...) 1 h w", h=rows, w=columns)
    return F.interpolate(mask, (height, width)).reshape(*x.shape[:-3], 1, height, width)


def _blurred(D: Tensor) -> Tensor:
    if min(D.shape[-2:]) < 5:
        height, width = D.shape[-2:]
        raise UserError(
            f"SAG blurs 9x9 latents, reflected: a tile needs 5 or more a side, got {height}x{width}; "
            "raise tile.size, or use tile.schedule=overlap"
        )
    with without_autocast(D.device):  # keep the estimate's precision
        return gaussian_blur2d(D.flatten(0, -4), (9, 9), (1.0, 1.0)).reshape(D.shape)


@dataclass(frozen=True)
class PAG(_Guidance):
    """PAG, Eq. (6), combined with CFG: guidance away from a denoiser in which some self-attentions return V.

    Three evaluations per step; two without CFG (``keep_all``). ``layers``: ``mid`` as Ahn et al. 2024
    published it, or ``propagated`` for the first two and last two.
    """

    detail_scale: float
    layers: PerturbedLayers

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice("layers", self.layers, PERTURBED_LAYERS)

    @property
    def _branches(self) -> int:
        return 2 if self.uncond == "keep_all" else 3

    def __call__(self, denoise: Denoise[C], x: Tensor, sigma: float, condition: C) -> Tensor:
        """Return the guided estimate, in the shape of ``x``."""
        D_c = denoise(x, sigma, condition)
        if sigma not in self.interval:
            return D_c
        null = self.unconditional(condition)
        D_u = D_c if null is condition else denoise(x, sigma, null)
        D_p = denoise(x, sigma, condition, **{PERTURBED_LAYERS[self.layers]: identity_attention})
        return self._joined(D_u, D_c) + self.detail_scale * (D_c - D_p)  # Eq. (6)

"""Interfaces between the parts of an upscaler, each declared once."""

from collections.abc import Callable
from fractions import Fraction
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor

from dcvsr.attention.observer import NOBODY, Observer
from dcvsr.attention.self_attention import Attend, self_attention
from dcvsr.runtime.provenance import Origin


class Conditioned(Protocol):
    """A condition c, and what the unconditional branch of a guidance may see of it (spec A10)."""

    @property
    def null(self) -> Self:
        """The empty condition."""
        ...

    @property
    def without_image(self) -> Self:
        """The condition without its image embedding."""
        ...


C = TypeVar("C", bound=Conditioned)
C_contra = TypeVar("C_contra", bound=Conditioned, contravariant=True)


Advance = Callable[[float], object]
"""Progress callback; receives the newly finished part of the work."""


def ignored(done: float) -> None:
    """Ignore progress."""


class Denoise(Protocol[C_contra]):
    """The denoiser D as a guidance calls it."""

    def __call__(
        self,
        x: Tensor,
        sigma: float,
        condition: C_contra,
        attend: Attend = self_attention,
        mid: Attend | None = None,
    ) -> Tensor:
        """Estimate the clean latent from ``x`` = y + n at noise level ``sigma``.

        Args:
            x: ``b f k h w``, or any other shape with channels, rows and columns last.
            sigma: standard deviation of the noise n.
            condition: c.
            attend: attention of the first two and last two spatial self-attentions; Eq. (1) by default.
            mid: attention of the mid block's spatial self-attention; None for Eq. (1).

        Returns:
            D, in the shape of ``x``.
        """
        ...


class Combination(Protocol[C]):
    """A combination of denoised estimates."""

    def __call__(self, denoise: Denoise[C], x: Tensor, sigma: float, condition: C, /) -> Tensor:
        """Return the guided estimate of the clean latent, in the shape of ``x``.

        The first call of ``denoise`` is the conditional estimate, so the n-th evaluation of one tile is the
        n-th of every other.
        """
        ...


class Guidance(Combination[C], Protocol[C]):
    """A guidance, such as classifier-free guidance (Eq. (3))."""

    def evaluations(self, sigma: float) -> int:
        """Return the number of times that a call at noise level ``sigma`` calls ``denoise``."""
        ...


class Upscaler(Protocol):
    """A function from LR video to HR video: the method, and every baseline it is compared with.

    Attributes:
        factor: HR pixels per LR pixel along a side.
        seed: of the noise that the result depends on; None if the result is deterministic.
        origin: the file of the weights; None if there are none, or if they are initial or unknown.
    """

    factor: int
    seed: int | None
    origin: Origin | None

    def to(self, device: torch.device) -> None:
        """Move the networks to ``device``."""
        ...

    def memory(self, frames: int, height: int, width: int) -> int:
        """Estimate the bytes needed to upscale an LR video of this length and size, without the weights."""
        ...

    def work(self, frames: int, height: int, width: int) -> int:
        """Return what ``advance`` receives in all for an LR video of this size: evaluations, or frames."""
        ...

    def __call__(self, lr: Tensor, advance: Advance = ignored, observer: Observer = NOBODY) -> Tensor:
        """Upscale LR ``f c h w`` in [0, 1] to HR ``f c (factor h) (factor w)`` in [0, 1].

        Args:
            lr: the LR video.
            advance: progress callback.
            observer: receives the evaluations of the denoiser; upscalers without a denoiser ignore it.
        """
        ...

    def with_seed(self, seed: int) -> Self:
        """Return the upscaler with another seed; a deterministic one returns itself."""
        return self

    def for_clip(self, name: str, frames: int, height: int, width: int, rate: Fraction | None) -> Self:
        """Return the upscaler for one clip; only precomputed results depend on the clip.

        Args:
            name: name of the clip.
            frames: length of its LR.
            height: height of its LR.
            width: width of its LR.
            rate: frames per second; None if unknown.

        Raises:
            UserError: if there is no result for the clip.
        """
        return self

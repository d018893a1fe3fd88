"""Interfaces between the parts of an upscaler, each declared once."""

from typing import Protocol, Self, TypeVar

from torch import Tensor

from dcvsr.attention.self_attention import Attend, self_attention


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


class Guidance(Protocol[C]):
    """A combination of denoised estimates, such as classifier-free guidance (Eq. (3))."""

    def __call__(self, denoise: Denoise[C], x: Tensor, sigma: float, condition: C, /) -> Tensor:
        """Return the guided estimate of the clean latent, in the shape of ``x``.

        The first call of ``denoise`` is the conditional estimate, so the n-th evaluation of one tile is the
        n-th of every other.
        """
        ...

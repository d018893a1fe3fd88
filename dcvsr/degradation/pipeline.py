"""From HR clips to the LR clips that a model is trained to restore."""

from dataclasses import dataclass

from einops import rearrange
from torch import Tensor

from dcvsr.interpolation import downsample


@dataclass(frozen=True)
class Bicubic:
    """Antialiased bicubic reduction and nothing else."""

    factor: int

    def __call__(self, hr: Tensor) -> Tensor:
        """``b f c h w`` in [0, 1] -> ``b f c (h / factor) (w / factor)``.

        Raises:
            UserError: if ``h`` or ``w`` is no multiple of ``factor``.
        """
        lr = downsample(rearrange(hr, "b f c h w -> (b f) c h w"), self.factor)
        return rearrange(lr, "(b f) c h w -> b f c h w", b=len(hr))

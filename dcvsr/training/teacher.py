"""Teacher of stage 3: guided estimates of a frozen denoiser."""

from copy import deepcopy

import torch
from torch import Tensor

from dcvsr.attention.processor import Call, calling
from dcvsr.attention.self_attention import Attend, self_attention
from dcvsr.diffusion.protocols import Guidance
from dcvsr.models.denoiser import Condition, Denoiser


class Teacher:
    """Guided estimates of a denoiser as it was when the teacher was built.

    Args:
        denoiser: copied and frozen.
        guidance: combines its estimates.
    """

    def __init__(self, denoiser: Denoiser, guidance: Guidance[Condition]) -> None:
        self.denoiser = deepcopy(denoiser).requires_grad_(False).eval()
        self.guidance = guidance

    def to(self, device: torch.device) -> None:
        """Move the denoiser to ``device``."""
        self.denoiser.to(device)

    @torch.no_grad()
    def __call__(self, x: Tensor, sigma: float, c: Condition) -> Tensor:
        """Compute the guided estimate of one clip, ``1 f k h w``, at noise level ``sigma``."""
        with self.denoiser.propagated():  # the layers that guidance changes
            return self.guidance(self._denoise, x, sigma, c)

    def _denoise(
        self,
        x: Tensor,
        sigma: float,
        condition: Condition,
        attend: Attend = self_attention,
        mid: Attend | None = None,
    ) -> Tensor:
        with calling(Call(attend=attend, mid=mid)):
            return self.denoiser(x, x.new_full((len(x),), sigma), condition)

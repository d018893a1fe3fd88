"""Image embedding of models without a CLIP encoder."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ZeroEmbedding:
    """Embedding of zeros: one token (spec A12c)."""

    size: int

    def __call__(self, frames: Tensor) -> Tensor:
        """Return zeros ``b 1 size`` for frames ``b c h w``."""
        return frames.new_zeros(len(frames), 1, self.size)

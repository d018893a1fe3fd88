"""What the U-Net's cross-attention sees of the picture, where no CLIP encoder is at hand."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ZeroEmbedding:
    """No picture at all: a token of zeros (spec A12c)."""

    size: int

    def __call__(self, frames: Tensor) -> Tensor:
        """Frames ``b c h w`` -> ``b 1 size``."""
        return frames.new_zeros(len(frames), 1, self.size)

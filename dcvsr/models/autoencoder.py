"""Autoencoder of scale=nano: a fixed orthonormal transform with an exact inverse.

Axes: p, q rows and columns inside a 4x4 block; k the 48 basis vectors of a block (colour, then row band, then
column band).
"""

import torch
from einops import rearrange
from torch import Tensor, nn

_COLOUR = torch.tensor([[1, 1, 1], [1, 0, -1], [1, -2, 1]], dtype=torch.float64)  # luma and two chroma
_HAAR = torch.tensor(
    [[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 0, 0], [0, 0, 1, -1]], dtype=torch.float64
)  # two levels, one axis


def _orthonormal(rows: Tensor) -> Tensor:
    return rows / rows.norm(dim=1, keepdim=True)


class HaarAutoencoder(nn.Module):
    """Orthonormal luma and chroma, then a separable two-level Haar transform: 4x smaller, exact inverse."""

    factor = 4
    channels = 48
    chunk = 1
    overlap = 0

    def __init__(self) -> None:
        super().__init__()
        colour, haar = _orthonormal(_COLOUR), _orthonormal(_HAAR)
        basis = torch.kron(colour, torch.kron(haar, haar)).float()
        self.register_buffer("basis", basis, persistent=False)  # k (c p q)
        self.basis: Tensor

    def encode(self, video: Tensor) -> Tensor:
        """Transform video ``b f c h w`` in [0, 1] to coefficients ``b f k h/4 w/4``."""
        blocks = rearrange(video, "b f c (h p) (w q) -> b f h w (c p q)", p=4, q=4)
        return rearrange(blocks @ self.basis.T, "b f h w k -> b f k h w")

    def decode(self, coefficients: Tensor) -> Tensor:
        """Invert ``encode``."""
        blocks = rearrange(coefficients, "b f k h w -> b f h w k") @ self.basis
        return rearrange(blocks, "b f h w (c p q) -> b f c (h p) (w q)", p=4, q=4)

    def decoding_memory(self, frames: int, height: int, width: int) -> int:
        """Return 0: the transform needs only copies of the video."""
        return 0

    def decoded_sizes(self, frames: int, height: int, width: int) -> list[tuple[int, int, int]]:
        """Return frames, height and width of each part decoded for a video."""
        return [(1, height, width)] * frames

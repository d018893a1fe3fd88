"""Initial noise x_T as a function of (seed, frame, y, x), independent of tiles.

A counter-based generator gives every position its own draw, so tile size, overlap, chunking and the number
of processes do not change the noise, and a crop of the video has the crop of its noise.

Philox4x32-10: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3". Words are 32-bit values held
in int64 tensors.
"""

import math
from numbers import Integral

import torch
from einops import rearrange
from torch import Tensor

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_WORD = 0xFFFFFFFF

Words = tuple[Tensor, Tensor, Tensor, Tensor]


def require_seed(seed: object) -> None:
    """Raise ValueError unless ``seed`` is an integer in [0, 2^64)."""
    if not (isinstance(seed, Integral) and 0 <= int(seed) < 2**64):
        raise ValueError(f"seed must be an integer in [0, 2^64), got {seed}")


def philox(counter: Words, key: tuple[int, int], rounds: int = 10) -> Words:
    """Compute four random 32-bit words for each ``counter`` (four words, broadcast) and a 64-bit key."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        p0, p1 = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2  # wraps modulo 2^64; both halves stay exact
        c0, c1, c2, c3 = (p1 >> 32 & _WORD) ^ c1 ^ k0, p1 & _WORD, (p0 >> 32 & _WORD) ^ c3 ^ k1, p0 & _WORD
        k0, k1 = k0 + _WEYL[0] & _WORD, k1 + _WEYL[1] & _WORD
    return c0, c1, c2, c3


def _normal_pair(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Convert two words to two independent standard normal values, float32 (Box and Muller 1958)."""
    radius = (-2 * ((a + 0.5) / 2**32).log()).sqrt()
    angle = 2 * math.pi * (b + 0.5) / 2**32
    return radius * angle.cos(), radius * angle.sin()


def gaussian_noise(
    seed: int,
    frames: range,
    channels: int,
    rows: range,
    columns: range,
    device: torch.device | str = "cpu",
    stream: int = 0,
) -> Tensor:
    """Compute standard normal noise of the given frames, rows and columns of a video; float32, ``f c h w``.

    Args:
        seed: seed of the video.
        frames: frame indices.
        channels: number of channels.
        rows: row indices.
        columns: column indices.
        device: device of the result.
        stream: 0 for x_T; other uses of the same seed take another number in [0, 2^16).

    Raises:
        ValueError: if ``seed`` is not an integer in [0, 2^64).
    """
    require_seed(seed)
    f, group, y, x = torch.meshgrid(
        torch.tensor(frames, device=device),
        torch.arange(-(-channels // 4), device=device) + (stream << 16),
        torch.tensor(rows, device=device),
        torch.tensor(columns, device=device),
        indexing="ij",
    )
    words = philox((x, y, f, group), (seed & _WORD, seed >> 32))
    normals = torch.stack([*_normal_pair(words[0], words[1]), *_normal_pair(words[2], words[3])])
    return rearrange(normals, "n f g h w -> f (g n) h w")[:, :channels].float()

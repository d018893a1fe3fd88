"""Floating-point operations of an upscaler's parts, counted on meta tensors.

A multiplication and an addition count as two operations. As in torch's FlopCounterMode, matrix products,
convolutions and attention count; norms, activations and softmax do not.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

from dcvsr.models.denoiser import Condition
from dcvsr.models.operations import counted, empty, on_meta
from dcvsr.models.upscaler import TiledUpscaler


@dataclass(frozen=True)
class Flops:
    """FLOPs of the parts of ``upscaler``, each counted on first use."""

    upscaler: TiledUpscaler

    def evaluation(self, frames: int, rows: int, columns: int) -> int:
        """Count one plain evaluation of the U-Net on one tile, sizes in latent pixels."""
        return int(sum(term(frames, rows, columns) for term in self._terms))

    @cached_property
    def _terms(self) -> list["Term"]:
        """Terms from three counted evaluations: of the reference size, with more frames, and wider."""
        sizes = (_FRAMES, _SIDE, _SIDE), (2 * _FRAMES, _SIDE, _SIDE), (_FRAMES, _SIDE, _WIDE)
        each = zip(*(self._evaluated(*size) for size in sizes), strict=True)
        return [Term.of(*flops) for flops in each]

    def _evaluated(self, frames: int, rows: int, columns: int) -> list[int]:
        denoiser, channels = self._meta[0], self.upscaler.latents.autoencoder.channels
        x = empty(1, frames, channels, rows, columns)
        condition = Condition(x, empty(1, 1, self.upscaler.denoiser.embedding_size))
        return counted(lambda: denoiser(x, empty(1), condition))

    def upsampling(self, height: int, width: int) -> int:
        """Count the upsampling of an LR frame of ``height`` x ``width`` pixels to I^up."""
        return sum(counted(lambda: self._meta[3](empty(1, 3, height, width))))

    def encoding(self, height: int, width: int) -> int:
        """Count the encoding of one frame of I^up, ``height`` x ``width`` pixels, to l."""
        return sum(counted(lambda: self._meta[1].condition(empty(1, 1, 3, height, width))))

    def target(self, height: int, width: int) -> int:
        """Count the encoding of one HR frame to y."""
        frame = empty(1, 1, 3, height, width)
        return sum(counted(lambda: self._meta[1].target(frame, frame)))

    def decoding(self, height: int, width: int) -> int:
        """Count the decoding of one frame, ``height`` x ``width``; SVD's decoder is linear in frames."""
        coder = self.upscaler.latents.autoencoder
        y = empty(1, 1, coder.channels, height // coder.factor, width // coder.factor)
        return sum(counted(lambda: self._meta[1].decode(y, y)))

    @cached_property
    def image(self) -> int:
        """FLOPs of the embedding of one image, which the encoder resizes to its own size."""
        return sum(counted(lambda: self._meta[2](empty(1, 3, 64, 64))))

    @cached_property
    def _meta(self) -> Any:
        up = self.upscaler
        return on_meta((up.denoiser, up.latents, up.image_encoder, up.upsample))


@dataclass(frozen=True)
class Term:
    """FLOPs of one U-Net operation as a function of the tile size.

    Convolutions and linear layers grow with frames times positions, spatial attention with the square of
    positions, temporal attention with the square of frames; embeddings of time and image are constant.
    Positions count at the operation's resolution, a tile halved ``level`` times.

    Attributes:
        flops: FLOPs at the reference size.
        frames, positions: powers of frames and positions.
        level: number of halvings.
    """

    flops: int
    frames: int
    level: int
    positions: int

    def __call__(self, frames: int, rows: int, columns: int) -> Fraction:
        """Return the FLOPs at a tile size."""
        positions = Fraction(_positions(rows, columns, self.level), _positions(_SIDE, _SIDE, self.level))
        return self.flops * Fraction(frames, _FRAMES) ** self.frames * positions**self.positions

    @classmethod
    def of(cls, flops: int, longer: int, wider: int) -> "Term":
        """Find the term with ``flops`` at the reference size, ``longer`` and ``wider`` at the others."""
        powers = ((a, level, b) for a in range(3) for level in range(_LEVELS) for b in range(3))
        terms = (cls(flops, *power) for power in powers)
        at = (2 * _FRAMES, _SIDE, _SIDE), (_FRAMES, _SIDE, _WIDE)
        return next(term for term in terms if (term(*at[0]), term(*at[1])) == (longer, wider))


_FRAMES, _SIDE, _WIDE, _LEVELS = 2, 17, 33, 6
"""Reference sizes; the ratio 33/17, halved and rounded up, and its square differ at each level."""


def _positions(rows: int, columns: int, level: int) -> int:
    return -(-rows // 2**level) * -(-columns // 2**level)

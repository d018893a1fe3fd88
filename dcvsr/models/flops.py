"""Floating-point operations of an upscaler's parts, counted on tensors that have shapes and no values.

A multiplication and an addition are two. Counted is what torch's FlopCounterMode counts: matrix products,
convolutions and attention; not norms, activations or softmax.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from dcvsr.models.denoiser import Condition
from dcvsr.models.upscaler import TiledUpscaler

T = TypeVar("T")


def counted(run: Callable[[], object]) -> list[int]:
    """FLOPs of each product and convolution of ``run``, in order."""
    operations: list[int] = []

    def noting(formula: Callable[..., int]) -> Callable[..., int]:
        def note(*shapes: Any, out_shape: Any = None, **options: Any) -> int:
            operations.append(formula(*shapes, out_val=out_shape, **options))
            return operations[-1]

        return note

    noted = {operation: noting(formula) for operation, formula in flop_registry.items()}
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=noted):
        run()
    return operations


def on_meta(parts: Sequence[T]) -> Sequence[T]:
    """A copy whose modules hold no weights, only their shapes."""
    modules = [
        value for part in parts for value in (part, *vars(part).values()) if isinstance(value, nn.Module)
    ]
    tensors = [tensor for module in modules for tensor in (*module.parameters(), *module.buffers())]
    return copy.deepcopy(parts, {id(tensor): torch.empty_like(tensor, device="meta") for tensor in tensors})


@dataclass(frozen=True)
class Flops:
    """FLOPs of ``upscaler``'s parts, each counted when first asked for."""

    upscaler: TiledUpscaler

    def evaluation(self, frames: int, rows: int, columns: int) -> int:
        """One plain evaluation of the U-Net on one tile of this many latents."""
        return int(sum(term(frames, rows, columns) for term in self._terms))

    @cached_property
    def _terms(self) -> list["Term"]:
        """Three evaluations give every tile size: one of the reference size, one longer, one wider."""
        sizes = (_FRAMES, _SIDE, _SIDE), (2 * _FRAMES, _SIDE, _SIDE), (_FRAMES, _SIDE, _WIDE)
        each = zip(*(self._evaluated(*size) for size in sizes), strict=True)
        return [Term.of(*flops) for flops in each]

    def _evaluated(self, frames: int, rows: int, columns: int) -> list[int]:
        denoiser, channels = self._meta[0], self.upscaler.latents.autoencoder.channels
        x = _empty(1, frames, channels, rows, columns)
        condition = Condition(x, _empty(1, 1, self.upscaler.denoiser.embedding_size))
        return counted(lambda: denoiser(x, _empty(1), condition))

    def upsampling(self, height: int, width: int) -> int:
        """LR -> I^up, an LR frame of ``height`` x ``width`` pixels."""
        return sum(counted(lambda: self._meta[3](_empty(1, 3, height, width))))

    def encoding(self, height: int, width: int) -> int:
        """I^up -> l, a frame of ``height`` x ``width`` pixels; frames are encoded each on its own."""
        return sum(counted(lambda: self._meta[1].condition(_empty(1, 1, 3, height, width))))

    def target(self, height: int, width: int) -> int:
        """HR -> y, a frame."""
        frame = _empty(1, 1, 3, height, width)
        return sum(counted(lambda: self._meta[1].target(frame, frame)))

    def decoding(self, height: int, width: int) -> int:
        """A latent -> HR, a frame of ``height`` x ``width`` pixels; SVD's decoder is linear in frames."""
        coder = self.upscaler.latents.autoencoder
        y = _empty(1, 1, coder.channels, height // coder.factor, width // coder.factor)
        return sum(counted(lambda: self._meta[1].decode(y, y)))

    @cached_property
    def image(self) -> int:
        """The embedding of one picture, which the encoder brings to its own size."""
        return sum(counted(lambda: self._meta[2](_empty(1, 3, 64, 64))))

    @cached_property
    def _meta(self) -> Any:
        up = self.upscaler
        return on_meta((up.denoiser, up.latents, up.image_encoder, up.upsample))


@dataclass(frozen=True)
class Term:
    """FLOPs of one operation of a U-Net, as a function of the size of its tile.

    Convolutions and linear layers grow with frames times positions, spatial attention with the square of
    positions, temporal attention with that of frames; embeddings of time and picture with neither. Positions
    are those of the operation's own resolution, a tile halved ``level`` times.

    Attributes:
        flops: at the reference size.
        frames, positions: powers.
    """

    flops: int
    frames: int
    level: int
    positions: int

    def __call__(self, frames: int, rows: int, columns: int) -> Fraction:
        positions = Fraction(_positions(rows, columns, self.level), _positions(_SIDE, _SIDE, self.level))
        return self.flops * Fraction(frames, _FRAMES) ** self.frames * positions**self.positions

    @classmethod
    def of(cls, flops: int, longer: int, wider: int) -> "Term":
        """The one that has ``flops`` at the reference size, and at twice the frames and the larger width."""
        powers = ((a, level, b) for a in range(3) for level in range(_LEVELS) for b in range(3))
        terms = (cls(flops, *power) for power in powers)
        at = (2 * _FRAMES, _SIDE, _SIDE), (_FRAMES, _SIDE, _WIDE)
        return next(term for term in terms if (term(*at[0]), term(*at[1])) == (longer, wider))


_FRAMES, _SIDE, _WIDE, _LEVELS = 2, 17, 33, 6
"""The reference size. Halved and rounded up, 33/17 and its square are different numbers at each level."""


def _positions(rows: int, columns: int, level: int) -> int:
    return -(-rows // 2**level) * -(-columns // 2**level)


def _empty(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta")

"""JPEG at a quality that walks from frame to frame (4:2:0, as libjpeg's default).

Axes: frames are ``c h w`` in [0, 1]; what lies outside is clamped.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, cast

import torch
from kornia.enhance import jpeg_codec_differentiable
from torch import Generator, Tensor
from torchvision.io import ImageReadMode, decode_jpeg, encode_jpeg

from dcvsr.degradation.walk import Params, Walk, walked
from dcvsr.imaging import to_bytes, to_unit
from dcvsr.runtime.choices import require_choice

JPEGCoderName = Literal["auto", "kornia", "libjpeg"]


class JPEGCoder(Protocol):
    """Codes and decodes one frame."""

    def __call__(self, frame: Tensor, quality: int) -> Tensor: ...


@dataclass(frozen=True)
class JPEG:
    """Every frame coded and decoded at its own quality.

    Args:
        quality: from 1 to 100.
        coder: ``libjpeg``, ``kornia``, or ``auto`` to choose by the frame's device.
    """

    quality: Walk
    coder: JPEGCoderName

    def __post_init__(self) -> None:
        require_choice("coder", self.coder, JPEG_CODERS)
        if not 1 <= self.quality.low <= self.quality.high <= 100:
            raise ValueError(f"JPEG has qualities 1 to 100, got {self.quality.low} to {self.quality.high}")

    def draw(self, generator: Generator, shape: Sequence[int]) -> Params:
        return {"quality": self.quality.draw(generator)}

    def apply(self, params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        for frame, quality in zip(frames, walked(params["quality"]), strict=False):
            yield JPEG_CODERS[self.coder](frame, round(quality))


@dataclass(frozen=True)
class Libjpeg:
    """libjpeg on the CPU, whence the frame returns to where it was."""

    def __call__(self, frame: Tensor, quality: int) -> Tensor:
        coded = encode_jpeg(to_bytes(frame).cpu(), quality)
        decoded = decode_jpeg(cast(Tensor, coded), ImageReadMode.RGB)
        return to_unit(cast(Tensor, decoded)).to(frame.device)


@dataclass(frozen=True)
class Kornia:
    """kornia's, where the frame is; on a CPU 35 times slower than libjpeg."""

    def __call__(self, frame: Tensor, quality: int) -> Tensor:
        q = torch.tensor([float(quality)], device=frame.device)
        return jpeg_codec_differentiable(to_unit(to_bytes(frame))[None], q)[0]


@dataclass(frozen=True)
class ByDevice:
    """kornia's on a GPU, libjpeg on a CPU; they agree to 40 dB."""

    def __call__(self, frame: Tensor, quality: int) -> Tensor:
        coder = Kornia() if frame.is_cuda else Libjpeg()
        return coder(frame, quality)


JPEG_CODERS: Mapping[JPEGCoderName, JPEGCoder] = {
    "auto": ByDevice(),
    "kornia": Kornia(),
    "libjpeg": Libjpeg(),
}

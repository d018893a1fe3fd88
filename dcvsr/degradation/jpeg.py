"""JPEG compression with a quality that walks over the frames (4:2:0, libjpeg's default).

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
    """Function that encodes and decodes one frame."""

    def __call__(self, frame: Tensor, quality: int) -> Tensor:
        """Apply the function."""
        ...


@dataclass(frozen=True)
class JPEG:
    """JPEG encoding and decoding of every frame at its own quality.

    Args:
        quality: walk of the quality, 1 to 100.
        coder: ``libjpeg``, ``kornia``, or ``auto`` to choose by the frame's device.
    """

    quality: Walk
    coder: JPEGCoderName

    def __post_init__(self) -> None:
        require_choice("coder", self.coder, JPEG_CODERS)
        if not 1 <= self.quality.low <= self.quality.high <= 100:
            raise ValueError(
                f"JPEG quality must be in 1 to 100, got {self.quality.low} to {self.quality.high}"
            )

    def draw(self, generator: Generator, shape: Sequence[int]) -> Params:
        """Draw the parameters of a clip."""
        return {"quality": self.quality.draw(generator)}

    def apply(self, params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the degraded frames one by one."""
        for frame, quality in zip(frames, walked(params["quality"]), strict=False):
            yield JPEG_CODERS[self.coder](frame, round(quality))


@dataclass(frozen=True)
class Libjpeg:
    """JPEG by libjpeg on the CPU; the result returns to the frame's device."""

    def __call__(self, frame: Tensor, quality: int) -> Tensor:
        """Encode and decode ``frame`` at ``quality``."""
        coded = encode_jpeg(to_bytes(frame).cpu(), quality)
        decoded = decode_jpeg(cast(Tensor, coded), ImageReadMode.RGB)
        return to_unit(cast(Tensor, decoded)).to(frame.device)


@dataclass(frozen=True)
class Kornia:
    """JPEG by kornia on the frame's device; on a CPU 35 times slower than libjpeg."""

    def __call__(self, frame: Tensor, quality: int) -> Tensor:
        """Encode and decode ``frame`` at ``quality``."""
        q = torch.tensor([float(quality)], device=frame.device)
        return jpeg_codec_differentiable(to_unit(to_bytes(frame))[None], q)[0]


@dataclass(frozen=True)
class ByDevice:
    """JPEG by kornia on a GPU and by libjpeg on a CPU; they agree to 40 dB."""

    def __call__(self, frame: Tensor, quality: int) -> Tensor:
        """Encode and decode ``frame`` at ``quality``."""
        coder = Kornia() if frame.is_cuda else Libjpeg()
        return coder(frame, quality)


JPEG_CODERS: Mapping[JPEGCoderName, JPEGCoder] = {
    "auto": ByDevice(),
    "kornia": Kornia(),
    "libjpeg": Libjpeg(),
}

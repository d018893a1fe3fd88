"""Degradation of HR clips to LR clips.

Drawing parameters is separate from applying them, so that parameters can be stored and replayed exactly.
Axes: clips are ``f c h w``, frames ``c h w``, in [0, 1].
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from dcvsr.degradation.codec import VIDEO_CODERS, VideoCoderName
from dcvsr.degradation.jpeg import JPEG_CODERS, JPEGCoderName
from dcvsr.degradation.resample import RESAMPLES, ResampleName
from dcvsr.degradation.resize import Reduce
from dcvsr.degradation.sharpen import USM
from dcvsr.degradation.steps import InTurn, Step
from dcvsr.degradation.walk import Params
from dcvsr.imaging import to_bytes, to_unit
from dcvsr.runtime.choices import require_choice
from dcvsr.runtime.errors import UserError


@dataclass(frozen=True)
class Degradation:
    """Sequence of steps from HR to LR.

    Args:
        factor: downsampling factor.
        steps: name -> step, in order.
        usm: sharpening of HR.
    """

    factor: int
    steps: Mapping[str, Step]
    usm: USM | None = None

    def draw(self, generator: Generator, shape: Sequence[int]) -> Params:
        """Draw the parameters of an HR clip of ``shape`` f c h w, as plain JSON values.

        Raises:
            UserError: if ``h`` or ``w`` is not a multiple of ``factor``.
        """
        *_, height, width = shape
        if height % self.factor or width % self.factor:
            raise UserError(
                f"frames of {width}x{height} cannot be downsampled {self.factor} times; crop them"
            )
        return InTurn(self.steps).draw(generator, shape)

    def apply(self, params: Params, clip: Tensor) -> Tensor:
        """Return LR rounded to eight bits: ``f c h w`` -> ``f c (h / factor) (w / factor)``."""
        return torch.stack(list(self.frames(params, clip)))

    def frames(self, params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield LR frame by frame; memory is that of a few frames."""
        return (to_unit(to_bytes(frame)) for frame in InTurn(self.steps).apply(params, frames))

    def stages(self, params: Params, clip: Tensor) -> Iterator[tuple[str, list[Tensor]]]:
        """Yield the name and the output frames of each step."""
        return InTurn(self.steps).stages(params, clip)

    def target(self, clip: Tensor) -> Tensor:
        """Return HR as the loss should see it, ``f c h w``."""
        if self.usm is None or not self.usm.target:
            return clip
        return torch.stack([self.usm.mask(frame) for frame in clip])


def configured(
    factor: int,
    steps: Mapping[str, Step],
    usm: USM | None = None,
    *,
    jpeg: JPEGCoderName,
    codec: VideoCoderName,
    resample: ResampleName,
) -> Degradation:
    """Return the `Degradation` of a configuration.

    Its steps repeat ``jpeg``, ``codec`` and ``resample`` by interpolation, such as ``${degradation.codec}``.

    Raises:
        ValueError: if one of the three is not a choice.
    """
    require_choice("jpeg", jpeg, JPEG_CODERS)
    require_choice("codec", codec, VIDEO_CODERS)
    require_choice("resample", resample, RESAMPLES)
    return Degradation(factor, steps, usm)


def bicubic(factor: int) -> Degradation:
    """Return antialiased bicubic downsampling without any other step."""
    return Degradation(factor, {"reduce": Reduce(factor, {"bicubic": 1.0}, "antialiased")})


NO_LR = "degradation=none does not make LR; give clips with their own LR, or choose another degradation"


@dataclass(frozen=True)
class Given(Degradation):
    """No degradation: LR comes with the data."""

    def draw(self, generator: Generator, shape: Sequence[int]) -> Params:
        """Draw the parameters of a clip."""
        raise UserError(NO_LR)

    def frames(self, params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Raise UserError."""
        raise UserError(NO_LR)

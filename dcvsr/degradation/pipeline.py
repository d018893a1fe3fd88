"""From HR clips to the LR clips that a model is trained to restore.

Parameters are drawn apart from their application: what was drawn can be stored, and replayed exactly.
Axes: clips are ``f c h w``, frames ``c h w``, in [0, 1].
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from dcvsr.degradation.resample import Antialiased
from dcvsr.degradation.resize import Reduce
from dcvsr.degradation.sharpen import USM
from dcvsr.degradation.steps import InTurn, Step
from dcvsr.degradation.walk import Params
from dcvsr.imaging import to_bytes, to_unit
from dcvsr.runtime.errors import UserError


@dataclass(frozen=True)
class Degradation:
    """Steps one after the other; the last of them leaves LR.

    Args:
        factor: of the reduction.
        steps: name -> step, in order.
        usm: what of HR is sharpened.
    """

    factor: int
    steps: Mapping[str, Step]
    usm: USM | None = None

    def draw(self, generator: Generator, shape: Sequence[int]) -> Params:
        """What happens to an HR clip of ``shape`` f c h w, as plain JSON values.

        Raises:
            UserError: if ``h`` or ``w`` is no multiple of ``factor``: nothing is cropped in silence.
        """
        *_, height, width = shape
        if height % self.factor or width % self.factor:
            raise UserError(
                f"frames of {width}x{height} cannot be reduced {self.factor} times; crop them to a multiple"
            )
        return InTurn(self.steps).draw(generator, shape)

    def apply(self, params: Params, clip: Tensor) -> Tensor:
        """LR of eight bits: ``f c h w`` -> ``f c (h / factor) (w / factor)``."""
        return torch.stack(list(self.frames(params, clip)))

    def frames(self, params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """The same frame by frame, as they come: memory is that of a few frames."""
        return (to_unit(to_bytes(frame)) for frame in InTurn(self.steps).apply(params, frames))

    def stages(self, params: Params, clip: Tensor) -> Iterator[tuple[str, list[Tensor]]]:
        """What each step leaves, by name."""
        return InTurn(self.steps).stages(params, clip)

    def target(self, clip: Tensor) -> Tensor:
        """HR as a loss should see it."""
        if self.usm is None or not self.usm.target:
            return clip
        return torch.stack([self.usm.mask(frame) for frame in clip])


def bicubic(factor: int) -> Degradation:
    """Antialiased bicubic reduction and nothing else."""
    return Degradation(factor, {"reduce": Reduce(factor, {"bicubic": 1.0}, Antialiased())})


NO_LR = "degradation=none makes no LR: give clips that bring their own, or choose another"


@dataclass(frozen=True)
class Given(Degradation):
    """None: LR was made beforehand, and comes with the data."""

    def draw(self, generator: Generator, shape: Sequence[int]) -> Params:
        raise UserError(NO_LR)

    def frames(self, params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        raise UserError(NO_LR)

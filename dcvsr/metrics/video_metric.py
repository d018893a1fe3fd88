"""The interface of every metric of videos."""

from collections.abc import Mapping
from typing import Protocol, Self

import torch
from torch import Tensor


class VideoMetric(Protocol):
    """A torchmetrics metric of a restored clip, with or without a reference.

    Attributes:
        higher_is_better: True if a higher value means a better clip; None if neither direction does.
        needs_reference: False if ``update`` accepts None as the reference.
    """

    higher_is_better: bool | None
    needs_reference: bool

    def to(self, device: torch.device) -> Self:
        """Move the networks and the collected scores to ``device``."""
        ...

    def reset(self) -> None:
        """Discard the collected scores."""
        ...

    def update(self, restored: Tensor, reference: Tensor | None) -> None:
        """Score a clip ``f c h w`` in [0, 1]; ``reference`` is None only if ``needs_reference`` is False.

        Raises:
            UserError: if the clip cannot be scored, for example because it is too small.
        """
        ...

    def compute(self) -> Tensor:
        """Return the mean over all scored clips, a scalar; NaN if no clip has a value."""
        ...

    def readings(self) -> Mapping[str, Tensor]:
        """Return further values of the same scores by name, such as the raw outputs of the network."""
        return {}

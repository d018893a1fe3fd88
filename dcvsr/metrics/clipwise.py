"""What metrics of whole clips share: one value a clip, and no value where there is nothing to measure."""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from dcvsr.imaging import to_bytes, to_unit
from dcvsr.metrics.framewise import require_alike, require_size


class Clipwise(Metric):
    """Mean of `measure` over those clips since ``reset`` on which it is defined; NaN if there are none."""

    full_state_update = False
    needs_reference = True
    smallest = 1  # pixels a side below which a clip has no value
    scores: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("scores", [], dist_reduce_fx="cat")

    def measure(self, restored: Tensor, reference: Tensor) -> Tensor:
        """A clip's value: ``f c h w`` in [0, 1], twice -> a scalar, NaN where it is not defined."""
        raise NotImplementedError

    @torch.no_grad()
    def update(self, restored: Tensor, reference: Tensor) -> None:
        """Measure a whole clip, rounded to eight bits: ``f c h w`` in [0, 1], twice.

        Raises:
            UserError: if the clips differ in frames or size (nothing is cropped), or are too small.
        """
        require_alike(restored, reference)
        require_size(type(self).__name__, self.smallest, restored)
        clips = (to_unit(to_bytes(clip)) for clip in (restored, reference))
        self.scores.append(self.measure(*clips).reshape(1))

    def compute(self) -> Tensor:
        """The mean over clips, a scalar."""
        return dim_zero_cat(self.scores).nanmean()

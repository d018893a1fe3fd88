"""Base class of metrics that give one value per clip, NaN where the metric is undefined."""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from dcvsr.imaging import to_bytes, to_unit
from dcvsr.metrics.framewise import require_same_shape, require_size
from dcvsr.metrics.video_metric import VideoMetric


class Clipwise(Metric, VideoMetric):
    """Mean of `measure` over the clips since ``reset`` on which it is defined; NaN if there are none."""

    full_state_update = False
    needs_reference = True
    smallest = 1  # shortest side in pixels that can be measured
    scores: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("scores", [], dist_reduce_fx="cat")

    def measure(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Measure one clip: two tensors ``f c h w`` in [0, 1] -> a scalar, NaN where undefined."""
        raise NotImplementedError

    @torch.no_grad()
    def update(self, restored: Tensor, reference: Tensor) -> None:
        """Measure a whole clip rounded to eight bits; both clips are ``f c h w`` in [0, 1].

        Raises:
            UserError: if the clips differ in length or size (nothing is cropped), or are too small.
        """
        require_same_shape(restored, reference)
        require_size(type(self).__name__, self.smallest, restored)
        clips = (to_unit(to_bytes(clip)) for clip in (restored, reference))
        self.scores.append(self.measure(*clips).reshape(1))

    def compute(self) -> Tensor:
        """Compute the mean over clips, a scalar."""
        return dim_zero_cat(self.scores).nanmean()

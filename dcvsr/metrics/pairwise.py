"""Base class of metrics that score pairs of consecutive frames and average them over a clip."""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from dcvsr.imaging import to_bytes, to_unit
from dcvsr.metrics.framewise import described, require_same_shape
from dcvsr.metrics.video_metric import VideoMetric
from dcvsr.runtime.errors import UserError


class Pairwise(Metric, VideoMetric):
    """Mean of `score` over all pairs since ``reset``, on frames rounded to eight bits as in a file.

    A pair is two consecutive frames of one clip, ``2 c h w``. Memory use does not grow with the clip.
    """

    full_state_update = False
    needs_reference = True
    higher_is_better = False
    smallest = 1  # shortest side in pixels that can be scored
    dropped = 0  # frames skipped at each end of a clip
    scores: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("scores", [], dist_reduce_fx="cat")

    def score(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Score one pair: two tensors ``2 c h w`` in [0, 1] -> a scalar, or ``s`` scores."""
        raise NotImplementedError

    @torch.no_grad()
    def update(self, restored: Tensor, reference: Tensor) -> None:
        """Score the pairs of a clip; both clips are ``f c h w`` in [0, 1].

        Raises:
            UserError: if the clips differ in length or size, or are too short or too small to score.
        """
        name, frames = type(self).__name__, 2 + 2 * self.dropped
        require_same_shape(restored, reference)
        if len(restored) < frames:
            raise UserError(
                f"{name} compares consecutive frames and needs {frames}, got {described(restored)}"
            )
        if min(restored.shape[-2:]) < self.smallest:
            raise UserError(f"{name} needs {self.smallest}x{self.smallest} pixels, got {described(restored)}")
        for i in range(self.dropped, len(restored) - self.dropped - 1):
            pair = (to_unit(to_bytes(clip[i : i + 2])) for clip in (restored, reference))
            self.scores.append(self.score(*pair)[None])

    def compute(self) -> Tensor:
        """Compute the mean over pairs: a scalar, or ``s`` means."""
        return dim_zero_cat(self.scores).mean(dim=0)

"""Base class of metrics that score single frames and average them over a clip."""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from dcvsr.metrics.video_metric import VideoMetric
from dcvsr.runtime.errors import UserError


class Framewise(Metric, VideoMetric):
    """Mean of `score` over all frames since ``reset``, each rounded to eight bits as in a file.

    Memory use does not grow with the clip.
    """

    full_state_update = False
    needs_reference = True
    smallest = 1  # shortest side in pixels that can be scored
    scores: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("scores", [], dist_reduce_fx="cat")

    def score(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Score one frame: two tensors ``1 c h w`` in [0, 1] -> a scalar."""
        raise NotImplementedError

    @torch.no_grad()
    def update(self, restored: Tensor, reference: Tensor) -> None:
        """Score the frames of a clip; both clips are ``f c h w`` in [0, 1].

        Raises:
            UserError: if the clips differ in length or size (nothing is cropped), or are too small to score.
        """
        require_same_shape(restored, reference)
        require_size(type(self).__name__, self.smallest, restored)
        for pair in zip(restored.split(1), reference.split(1), strict=True):
            self.scores.append(self.score(*(_eight_bit(frame) for frame in pair)).reshape(1))

    def compute(self) -> Tensor:
        """Compute the mean over frames, a scalar."""
        return dim_zero_cat(self.scores).mean()


def require_same_shape(restored: Tensor, reference: Tensor) -> None:
    """Raise UserError if two clips differ in length, channels or size; nothing is cropped to fit."""
    if restored.shape != reference.shape:
        raise UserError(
            f"cannot score {described(restored)} against {described(reference)}; nothing is cropped"
        )


def require_size(name: str, smallest: int, clip: Tensor) -> None:
    """Raise UserError if the frames of a clip have a side of fewer than ``smallest`` pixels."""
    if min(clip.shape[-2:]) < smallest:
        raise UserError(f"{name} needs {smallest}x{smallest} pixels, got {described(clip)}")


def described(clip: Tensor) -> str:
    """Describe a clip's length and size for messages."""
    frames, channels, height, width = clip.shape
    return f"{frames} frames of {width}x{height} in {channels} channels"


def _eight_bit(frame: Tensor) -> Tensor:
    return (frame.float().clamp(0, 1) * 255).round() / 255

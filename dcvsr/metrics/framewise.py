"""What the full-reference metrics share: frames are scored one by one, a clip by the mean of its frames."""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from dcvsr.runtime.errors import UserError


class Framewise(Metric):
    """Mean of `score` over all frames since ``reset``, each rounded to eight bits as a file would hold it.

    Memory is that of one frame's score, whatever the length of the clip.
    """

    full_state_update = False
    needs_reference = True
    smallest = 1  # pixels a side below which a frame has no score
    scores: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("scores", [], dist_reduce_fx="cat")

    def score(self, restored: Tensor, reference: Tensor) -> Tensor:
        """One frame's score: ``1 c h w`` in [0, 1], twice -> a scalar."""
        raise NotImplementedError

    @torch.no_grad()
    def update(self, restored: Tensor, reference: Tensor) -> None:
        """Score the frames of a clip: ``f c h w`` in [0, 1], twice.

        Raises:
            UserError: if the clips differ in frames or size (nothing is cropped), or are too small to score.
        """
        require_alike(restored, reference)
        require_size(type(self).__name__, self.smallest, restored)
        for pair in zip(restored.split(1), reference.split(1), strict=True):
            self.scores.append(self.score(*(_eight_bit(frame) for frame in pair)).reshape(1))

    def compute(self) -> Tensor:
        """The mean over frames, a scalar."""
        return dim_zero_cat(self.scores).mean()


def require_alike(restored: Tensor, reference: Tensor) -> None:
    """Raises UserError if two clips differ in frames, colours or size: nothing is cropped to fit."""
    if restored.shape != reference.shape:
        raise UserError(
            f"cannot score {described(restored)} against {described(reference)}; nothing is cropped"
        )


def require_size(name: str, smallest: int, clip: Tensor) -> None:
    """Raises UserError if the frames of a clip have a side of fewer than ``smallest`` pixels."""
    if min(clip.shape[-2:]) < smallest:
        raise UserError(f"{name} needs {smallest}x{smallest} pixels, got {described(clip)}")


def described(clip: Tensor) -> str:
    """Its length and size, for messages."""
    frames, channels, height, width = clip.shape
    return f"{frames} frames of {width}x{height} in {channels} channels"


def _eight_bit(frame: Tensor) -> Tensor:
    return (frame.float().clamp(0, 1) * 255).round() / 255

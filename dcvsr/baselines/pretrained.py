"""Published weights in a network, and where they came from."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from dcvsr.weights.registry import locate
from dcvsr.weights.state_dicts import fill


@dataclass(frozen=True)
class PublishedWeights:
    """A file of weights that others trained; it has neither the stage nor the step of a checkpoint."""

    path: Path

    stage = None
    step = None

    def __str__(self) -> str:
        return str(self.path)


def pretrained(network: nn.Module, weights: str | None) -> PublishedWeights | None:
    """Put ``weights`` into ``network``, ready for inference.

    Args:
        weights: a file, or the name of one that `dcvsr.weights.registry` knows; None leaves random weights.

    Raises:
        UserError: if the file cannot be had, or holds another network.
    """
    network.eval().requires_grad_(False)
    if weights is None:
        return None
    path = locate(weights)
    fill(network, path)
    return PublishedWeights(path)

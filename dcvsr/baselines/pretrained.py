"""Loading of published weights, with a record of their file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from dcvsr.runtime.provenance import file_record
from dcvsr.weights.registry import locate
from dcvsr.weights.state_dicts import fill


@dataclass(frozen=True)
class PublishedWeights:
    """File of published weights."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def record(self) -> dict[str, Any]:
        """Return the file and its hash."""
        return file_record(self.path)


def pretrained(network: nn.Module, weights: str | None) -> PublishedWeights | None:
    """Load ``weights`` into ``network`` and freeze it for inference.

    Args:
        network: changed in place.
        weights: a file, or the name of one in `dcvsr.weights.registry`; None keeps the random weights.

    Raises:
        UserError: if the file cannot be found, or holds another network.
    """
    network.eval().requires_grad_(False)
    if weights is None:
        return None
    path = locate(weights)
    fill(network, path)
    return PublishedWeights(path)

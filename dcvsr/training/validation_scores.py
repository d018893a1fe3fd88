"""Scores of validation clips."""

import logging
from collections.abc import Mapping

import torch
from torch import Tensor

from dcvsr.metrics.video_metric import VideoMetric
from dcvsr.runtime.errors import UserError

log = logging.getLogger(__name__)


class ValidationScores:
    """Scores of the clips of one validation by several metrics.

    A metric that refuses a clip, such as one that is too small, leaves it out and does not stop the run.

    Args:
        metrics: by name.
    """

    def __init__(self, metrics: Mapping[str, VideoMetric]) -> None:
        self.metrics = dict(metrics)
        self._scored: set[str] = set()
        self._told: set[tuple[str, str]] = set()

    def start(self, device: torch.device) -> None:
        """Discard earlier scores, and move the metrics' networks to ``device``."""
        self._scored.clear()
        for metric in self.metrics.values():
            metric.to(device).reset()

    def update(self, clip: str, restored: Tensor, hr: Tensor) -> None:
        """Score a clip, ``f c h w``; log the first refusal of a clip by a metric."""
        for name, metric in self.metrics.items():
            try:
                metric.update(restored, hr)
                self._scored.add(name)
            except UserError as error:
                if (clip, name) not in self._told:
                    log.warning(f"validation clip {clip}: {name} has no score: {error}")
                self._told.add((clip, name))

    def finish(self) -> dict[str, Tensor]:
        """Return the means of the metrics that scored a clip, and free the device of their networks."""
        means = {name: metric.compute() for name, metric in self.metrics.items() if name in self._scored}
        for metric in self.metrics.values():
            metric.reset()
            metric.to(torch.device("cpu"))
        return means

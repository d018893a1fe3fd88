"""Scores of validation clips."""

import logging
from collections.abc import Callable, Mapping

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
        self._device = torch.device("cpu")

    def start(self, device: torch.device) -> None:
        """Discard earlier scores, and move the metrics' networks to ``device``."""
        self._scored.clear()
        self._device = device
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

    def finish(self, largest: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """Return the means of the metrics that scored a clip, and free the device of their networks.

        Metrics gather the scores of all processes. All of them take part, also those whose clips a metric
        refused: the others would wait for them.

        Args:
            largest: returns the largest values of a tensor in any process, which all call together.
        """
        if not self.metrics:
            return {}
        scored = torch.tensor([name in self._scored for name in self.metrics], device=self._device).int()
        means = {}
        for (name, metric), has_score in zip(self.metrics.items(), largest(scored).tolist(), strict=True):
            if not has_score:
                continue
            for scores in getattr(metric, "metric_state", {}).values():
                scores[:] = [score.float() for score in scores]  # as a process without scores sends
            means[name] = metric.compute()
        for metric in self.metrics.values():
            metric.reset()
            metric.to(torch.device("cpu"))
        return means

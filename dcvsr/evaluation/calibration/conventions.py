"""Conventions: the variants that different programs compute under one metric's name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from unittest.mock import patch

import numpy as np
from torch import Tensor

from dcvsr.evaluation.calibration.frame_conventions import unstretched
from dcvsr.metrics import no_reference
from dcvsr.metrics.flow import Flow
from dcvsr.metrics.framewise import Framewise
from dcvsr.metrics.video_metric import VideoMetric

Preprocess = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Convention:
    """One variant of a metric.

    Args:
        says: description for tables.
        metric: a metric of `dcvsr.metrics`, or one with its interface.
        readings: entries of the metric's ``readings`` that are conventions too, with their descriptions.
    """

    says: str
    metric: VideoMetric
    readings: Mapping[str, str] = field(default_factory=dict)


class PreprocessedMetric(Framewise):
    """A metric of preprocessed frames."""

    def __init__(self, metric: Framewise, preprocess: Preprocess) -> None:
        super().__init__()
        self.metric, self.preprocess = metric, preprocess
        self.smallest = metric.smallest

    def score(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Score the preprocessed frames."""
        return self.metric.score(self.preprocess(restored), self.preprocess(reference))


class FunctionMetric(Framewise):
    """A metric computed by a function of two frames, ``1 c h w`` in [0, 1]."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def score(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Apply the function to a frame and its reference."""
        return self.function(restored, reference)


class PreprocessedNIQE(no_reference.NIQE):
    """NIQE of the luma ``1 1 h w`` that ``preprocess`` computes from a frame, in float64 like MATLAB.

    Raises:
        UserError: if basicsr is not installed.
    """

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        self.preprocess = preprocess

    def score(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Compute the NIQE of a frame's luma."""

        def levels(frame: Tensor) -> np.ndarray:
            # NIQE is discontinuous: even the rounding error of 255 * (level / 255) changes it.
            return (255 * self.preprocess(frame)[0, 0]).round(decimals=9).cpu().numpy()

        with patch.object(no_reference, "luma", levels):
            return super().score(restored, reference)


@dataclass(frozen=True)
class StableVSRFlow:
    """Flow as in StableVSR's eval.py: from second to first, with RAFT's input in [0, 1], not [-1, 1]."""

    flow: Flow

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        """Estimate the flow from ``second`` to ``first``."""
        return self.flow(unstretched(second), unstretched(first))

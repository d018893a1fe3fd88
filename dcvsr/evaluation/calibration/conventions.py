"""Conventions: what different programs compute under a metric's name, each with words for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from unittest.mock import patch

import numpy as np
from torch import Tensor
from torchmetrics import Metric

from dcvsr.evaluation.calibration.frame_conventions import unstretched
from dcvsr.metrics import no_reference
from dcvsr.metrics.flow import Flow
from dcvsr.metrics.framewise import Framewise

View = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Convention:
    """A metric in one of its variants.

    Args:
        says: what it is, in words.
        metric: of `dcvsr.metrics`, or as one.
        readings: those of the metric's ``readings`` that are conventions too, each in words.
    """

    says: str
    metric: Metric
    readings: Mapping[str, str] = field(default_factory=dict)


class Seen(Framewise):
    """A metric's score of what ``view`` makes of either frame."""

    def __init__(self, metric: Framewise, view: View) -> None:
        super().__init__()
        self.metric, self.view = metric, view
        self.smallest = metric.smallest

    def score(self, restored: Tensor, reference: Tensor) -> Tensor:
        return self.metric.score(self.view(restored), self.view(reference))


class Computed(Framewise):
    """What a function says of two frames, ``1 c h w`` in [0, 1]."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def score(self, restored: Tensor, reference: Tensor) -> Tensor:
        return self.function(restored, reference)


class NIQEOf(no_reference.NIQE):
    """NIQE of what ``view`` makes of a frame, ``1 1 h w``, in float64 as MATLAB computes.

    Raises:
        UserError: if basicsr is not installed.
    """

    def __init__(self, view: View) -> None:
        super().__init__()
        self.view = view

    def score(self, restored: Tensor, reference: Tensor) -> Tensor:
        def levels(frame: Tensor) -> np.ndarray:
            # NIQE is not continuous: the rounding errors of 255 / 255 alone would move it.
            return (255 * self.view(frame)[0, 0]).round(decimals=9).cpu().numpy()

        with patch.object(no_reference, "luma", levels):
            return super().score(restored, reference)


@dataclass(frozen=True)
class StableVSRFlow:
    """Flow as StableVSR's eval.py asks for it: backwards, of [0, 1] where RAFT was trained on [-1, 1]."""

    flow: Flow

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        return self.flow(unstretched(second), unstretched(first))

"""Fair ratios: two alternatives on the same work, interleaved, in one process."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from statistics import median

import torch

Work = Callable[[], object]


@dataclass(frozen=True)
class Ratio:
    """Median over pairs of reference time / candidate time, its 95 % interval, and both median times in s."""

    value: float
    low: float
    high: float
    reference: float
    candidate: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def speedup(reference: Work, candidate: Work, pairs: int) -> Ratio:
    """How many times faster ``candidate`` is; both run once before, then in pairs whose order alternates."""
    reference(), candidate()
    times: list[tuple[float, float]] = []
    for pair in range(pairs):
        works = [reference, candidate]
        order = [0, 1] if pair % 2 == 0 else [1, 0]
        seconds = {i: _seconds(works[i]) for i in order}
        times.append((seconds[0], seconds[1]))
    ratios = [r / c for r, c in times]
    low, high = _interval(ratios)
    return Ratio(median(ratios), low, high, *(median(column) for column in zip(*times, strict=True)))


def _seconds(work: Work) -> float:
    _wait()
    started = time.perf_counter()
    work()
    _wait()
    return time.perf_counter() - started


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _interval(values: list[float], draws: int = 2000) -> tuple[float, float]:
    """Bootstrap percentile interval of the median."""
    random = Random(0)
    medians = sorted(median(random.choices(values, k=len(values))) for _ in range(draws))
    return medians[int(0.025 * draws)], medians[int(0.975 * draws)]

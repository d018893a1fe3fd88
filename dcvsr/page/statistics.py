"""Means over clips, their spread over seeds, and whether a difference is more than noise.

Scores are clip -> one value a seed. A metric without seeds (bicubic has none) has one value a clip.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

import numpy as np

Scores = Mapping[str, Sequence[float]]


def mean(scores: Scores) -> float:
    """Over clips, of the mean over seeds."""
    return fmean(fmean(values) for values in scores.values())


def spread(scores: Scores) -> float | None:
    """Standard deviation over seeds of the mean over clips; None for one seed."""
    means = [fmean(seed) for seed in zip(*scores.values(), strict=True)]
    return stdev(means) if len(means) > 1 else None


def interval(ours: Scores, theirs: Scores, draws: int = 2000) -> tuple[float, float]:
    """95 % of the mean difference, by a paired block bootstrap (Efron and Tibshirani 1993, chapter 8).

    A clip is a block: its frames and seeds are drawn together, and within it pairs of seeds anew.

    Raises:
        ValueError: if the two were not scored on the same clips.
    """
    if ours.keys() != theirs.keys():
        raise ValueError("a paired comparison needs the same clips")
    differences = np.array([_differences(ours[clip], theirs[clip]) for clip in ours])
    clips, seeds = differences.shape
    random = np.random.default_rng(0)
    drawn = random.integers(clips, size=(draws, clips, 1)), random.integers(seeds, size=(draws, clips, seeds))
    means = np.sort(differences[drawn].mean(axis=(1, 2)))
    return float(means[round(0.025 * draws)]), float(means[round(0.975 * draws) - 1])


def is_noise(bounds: tuple[float, float]) -> bool:
    """Whether zero lies within."""
    low, high = bounds
    return low <= 0 <= high


def _differences(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Seed by seed; the one with fewer seeds is repeated."""
    count = max(len(ours), len(theirs))
    return [ours[i % len(ours)] - theirs[i % len(theirs)] for i in range(count)]

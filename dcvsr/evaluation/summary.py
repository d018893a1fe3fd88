"""Summary of an evaluation, as written to summary.json."""

from collections.abc import Mapping
from typing import Any

from dcvsr.evaluation.clip_scores import Scores, mean_over_seeds, means, unscored
from dcvsr.metrics.video_metric import VideoMetric

Results = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Clip -> seed as text -> result of `dcvsr.evaluation.job`."""


def summary(results: Results, metrics: Mapping[str, VideoMetric]) -> dict[str, Any]:
    """Summarise results as means over clips and scores by clip.

    With several seeds, both are means over seeds, and ``by_seed`` holds the scores of each seed.
    ``unscored``: metric -> clips that its mean leaves out. ``refused``: clip -> metric -> reason without a
    score. ``lr_sha256``: hash of each clip's LR. ``strength``: of each clip's degradation, None if unknown.
    """
    first = {clip: next(iter(by_seed.values())) for clip, by_seed in results.items()}
    seeds = sorted({seed for by_seed in results.values() for seed in by_seed}, key=int)
    scores: dict[str, Scores] = {
        seed: {clip: by_seed[seed]["scores"] for clip, by_seed in results.items()} for seed in seeds
    }
    clips = mean_over_seeds(list(scores.values()))
    return {
        "metrics": means(clips, metrics),
        "unscored": unscored(clips),
        "clips": clips,
        **({"by_seed": scores} if len(seeds) > 1 else {}),
        "refused": {clip: result["refused"] for clip, result in first.items() if result["refused"]},
        "lr_sha256": {clip: result["lr_sha256"] for clip, result in first.items()},
        "strength": {clip: result["strength"] for clip, result in first.items()},
    }

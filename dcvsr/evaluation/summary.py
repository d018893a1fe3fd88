"""What an evaluation found, as summary.json holds it."""

from collections.abc import Mapping
from typing import Any

from dcvsr.evaluation.clip_scores import Scores, means, over_seeds, unscored

Results = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Clip -> seed, as text -> what `dcvsr.evaluation.job` found."""


def summary(results: Results, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Means over clips, and clips; with several seeds the means over them, and ``by_seed`` each alone.

    ``unscored``: metric -> the clips that its mean leaves out, where there are any. ``refused``: clip ->
    metric -> why it has no score. ``lr_sha256``: of each clip's LR. ``strength``: of its degradation, None
    where that is not known.
    """
    first = {clip: next(iter(by_seed.values())) for clip, by_seed in results.items()}
    seeds = sorted({seed for by_seed in results.values() for seed in by_seed}, key=int)
    scores: dict[str, Scores] = {
        seed: {clip: by_seed[seed]["scores"] for clip, by_seed in results.items()} for seed in seeds
    }
    clips = over_seeds(list(scores.values()))
    return {
        "metrics": means(clips, metrics),
        "unscored": unscored(clips),
        "clips": clips,
        **({"by_seed": scores} if len(seeds) > 1 else {}),
        "refused": {clip: result["refused"] for clip, result in first.items() if result["refused"]},
        "lr_sha256": {clip: result["lr_sha256"] for clip, result in first.items()},
        "strength": {clip: result["strength"] for clip, result in first.items()},
    }

"""Scores of clips: computation, means over seeds and means over clips."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from torch import Tensor
from tqdm import tqdm

from dcvsr.metrics.alignment import TOLERANCE, shift
from dcvsr.metrics.framewise import require_same_shape
from dcvsr.metrics.video_metric import VideoMetric
from dcvsr.runtime.errors import UserError

log = logging.getLogger(__name__)

ClipScores = dict[str, float | None]
"""Metric -> value; None if it is infinite or NaN, which JSON cannot hold."""

Scores = Mapping[str, ClipScores]
"""Clip -> its scores."""


def score_clip(
    name: str, restored: Tensor, hr: Tensor | None, metrics: Mapping[str, VideoMetric]
) -> tuple[ClipScores, dict[str, str]]:
    """Score a clip by each metric.

    Args:
        name: of the clip, for messages.
        restored: ``f c h w`` in [0, 1].
        hr: the reference, or None.
        metrics: by name.

    Returns:
        Scores by metric and, for other readings, by ``<metric>_<reading>``; then reasons by metric without
        a score.

    Raises:
        UserError: if the clip differs from its reference in length or size; nothing is cropped.
    """
    if hr is not None:
        require_same_shape(restored, hr)
        _warn_if_shifted(name, restored, hr)
    values: dict[str, Tensor] = {}
    refused = {}
    for metric_name, metric in tqdm(metrics.items(), desc=f"{name}: score"):
        metric.to(restored.device).reset()
        try:
            metric.update(restored, hr)
        except UserError as error:
            refused[metric_name] = str(error)
            log.warning(f"{name}: {metric_name} has no score: {error}")
            continue
        values[metric_name] = metric.compute()
        values |= {f"{metric_name}_{reading}": value for reading, value in metric.readings().items()}
    known = {key: value.item() if value.isfinite() else None for key, value in values.items()}
    return known | dict.fromkeys(refused), refused


def _warn_if_shifted(name: str, restored: Tensor, hr: Tensor) -> None:
    """Warn if the result is shifted against its reference; an error in this check never stops a run."""
    try:
        x, y = shift(restored, hr)
    except Exception as error:
        log.warning(f"{name}: the check for a shift failed: {type(error).__name__}: {error}")
        return
    if max(abs(x), abs(y)) >= TOLERANCE:
        log.warning(f"{name}: the result lies {x:+.1f} pixels right of and {y:+.1f} below its reference")


def mean_over_seeds(by_seed: Sequence[Scores]) -> dict[str, ClipScores]:
    """Average each clip's scores over seeds; None if the score of any seed is None."""
    first = by_seed[0]
    return {
        clip: {metric: _mean([seed[clip].get(metric) for seed in by_seed]) for metric in first[clip]}
        for clip in first
    }


def means(scores: Scores, metrics: Mapping[str, VideoMetric]) -> dict[str, dict[str, Any]]:
    """Average each metric over the clips that have a score; `unscored` lists the others.

    Each entry holds ``mean`` and ``higher_is_better``; a reading has the direction of its metric.
    """
    found = {}
    for name in dict.fromkeys(name for row in scores.values() for name in row):
        metric = max((key for key in metrics if name.startswith(key)), key=len)
        values = [row[name] for row in scores.values() if row.get(name) is not None]
        found[name] = {"mean": _mean(values), "higher_is_better": metrics[metric].higher_is_better}
    return found


def unscored(scores: Scores) -> dict[str, list[str]]:
    """List the clips without a score by metric; metrics that score all clips are omitted."""
    names = dict.fromkeys(name for row in scores.values() for name in row)
    out = {name: [clip for clip, row in scores.items() if row.get(name) is None] for name in names}
    return {name: clips for name, clips in out.items() if clips}


def _mean(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return fmean(known) if known and None not in known else None  # type: ignore[type-var]

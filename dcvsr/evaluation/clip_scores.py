"""What metrics say of clips."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from torch import Tensor
from tqdm import tqdm

from dcvsr.metrics.alignment import TOLERANCE, shift
from dcvsr.metrics.framewise import require_same_shape
from dcvsr.runtime.errors import UserError

log = logging.getLogger(__name__)

ClipScores = dict[str, float | None]
"""Metric -> value; None where it is infinite or not defined, as JSON has neither."""

Scores = Mapping[str, ClipScores]
"""Clip -> its scores."""


def scored(
    name: str, restored: Tensor, hr: Tensor | None, metrics: Mapping[str, Any]
) -> tuple[ClipScores, dict[str, str]]:
    """What every metric says of a clip, other readings of it by ``<metric>_<reading>``; and why some do not.

    Args:
        name: of the clip, for messages.
        restored: ``f c h w`` in [0, 1].
        hr: its truth, or None.
        metrics: by name.

    Raises:
        UserError: if the clip differs from its truth in frames or size; nothing is cropped.
    """
    if hr is not None:
        require_same_shape(restored, hr)
        _warn_of_shift(name, restored, hr)
    values: dict[str, Any] = {}
    refused = {}
    for metric_name, metric in tqdm(metrics.items(), desc=f"{name}: score"):
        metric.to(restored.device).reset()
        try:
            metric.update(restored, hr)
        except UserError as error:
            refused[metric_name] = str(error)
            log.warning(f"{name}: no {metric_name}: {error}")
            continue
        values[metric_name] = metric.compute()
        if hasattr(metric, "readings"):
            values |= {f"{metric_name}_{reading}": value for reading, value in metric.readings().items()}
    known = {key: value.item() if value.isfinite() else None for key, value in values.items()}
    return known | dict.fromkeys(refused), refused


def _warn_of_shift(name: str, restored: Tensor, hr: Tensor) -> None:
    """Warns where the result lies beside its reference. No failure of this check costs a run its scores."""
    try:
        x, y = shift(restored, hr)
    except Exception as error:
        log.warning(f"{name}: the check for a shift failed: {type(error).__name__}: {error}")
        return
    if max(abs(x), abs(y)) >= TOLERANCE:
        log.warning(f"{name}: the result lies {x:+.1f} pixels right of and {y:+.1f} below its truth")


def over_seeds(by_seed: Sequence[Scores]) -> dict[str, ClipScores]:
    """Each clip's mean over seeds; None if one has none."""
    first = by_seed[0]
    return {
        clip: {metric: _mean([seed[clip].get(metric) for seed in by_seed]) for metric in first[clip]}
        for clip in first
    }


def means(scores: Scores, metrics: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Mean of each metric over the clips that have a score, and its direction; `unscored` names the others.

    A reading has the direction of its metric.
    """
    found = {}
    for name in dict.fromkeys(name for row in scores.values() for name in row):
        metric = max((key for key in metrics if name.startswith(key)), key=len)
        values = [row[name] for row in scores.values() if row.get(name) is not None]
        found[name] = {"mean": _mean(values), "higher_is_better": metrics[metric].higher_is_better}
    return found


def unscored(scores: Scores) -> dict[str, list[str]]:
    """Clips that a metric's mean leaves out, by metric; metrics that score every clip are left out."""
    names = dict.fromkeys(name for row in scores.values() for name in row)
    out = {name: [clip for clip, row in scores.items() if row.get(name) is None] for name in names}
    return {name: clips for name, clips in out.items() if clips}


def _mean(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return fmean(known) if known and None not in known else None  # type: ignore[type-var]

"""Scores of rows in one metric: clip -> one value a seed, on the clips where all rows have one."""

from collections.abc import Mapping, Sequence

from dcvsr.report.runs import Run
from dcvsr.report.statistics import Scores


def scores(rows: Mapping[str, Sequence[Run]], metric: str) -> dict[str, Scores]:
    """Label -> its scores; nothing of a row that lacks the metric, or has no runs."""
    return _on_the_same_clips({label: _of(runs, metric) for label, runs in rows.items()})


def coverage(rows: Mapping[str, Sequence[Run]], metric: str) -> tuple[list[str], list[str]]:
    """Clips that `scores` keeps and clips that it drops, by name; both empty without scores."""
    of_rows = [of_row for runs in rows.values() if (of_row := _of(runs, metric))]
    if not of_rows:
        return [], []
    every = sorted({clip for runs in rows.values() for run in runs for clip in run.scores})
    kept = [clip for clip in every if all(clip in of_row for of_row in of_rows)]
    return kept, [clip for clip in every if clip not in kept]


def heading(metric: str, higher_is_better: bool | None) -> str:
    """With an arrow to the better side, where that is known."""
    return metric.upper() + {True: " ↑", False: " ↓", None: ""}[higher_is_better]


def directions(runs: Sequence[Run]) -> dict[str, bool]:
    """Metric -> whether higher is better, of all metrics that a run has."""
    return {metric: higher for run in runs for metric, higher in run.higher_is_better.items()}


def _of(runs: Sequence[Run], metric: str) -> Scores:
    """Of the clips on which it is defined for all seeds; nothing if a run lacks the metric."""
    clips: dict[str, list[float]] = {}
    for run in runs:
        for clip, values in run.scores.items():
            if metric not in values:
                return {}
            if (value := values[metric]) is not None:
                clips.setdefault(clip, []).append(value)
    return {clip: values for clip, values in clips.items() if len(values) == len(runs)}


def _on_the_same_clips(scores: Mapping[str, Scores]) -> dict[str, Scores]:
    """Those of all rows that have any."""
    known = [of_row.keys() for of_row in scores.values() if of_row]
    return {
        label: {clip: values for clip, values in of_row.items() if all(clip in clips for clips in known)}
        for label, of_row in scores.items()
    }

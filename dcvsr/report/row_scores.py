"""Scores of rows in one metric: clip -> one value per seed, on the clips where all rows have one."""

from collections.abc import Mapping, Sequence

from dcvsr.report.runs import Run
from dcvsr.report.statistics import Scores


def scores(rows: Mapping[str, Sequence[Run]], metric: str) -> dict[str, Scores]:
    """Return label -> scores; rows without the metric or without runs are left out."""
    return _on_the_same_clips({label: _of(runs, metric) for label, runs in rows.items()})


def coverage(rows: Mapping[str, Sequence[Run]], metric: str) -> tuple[list[str], list[str]]:
    """Return the clips that `scores` keeps and those that it drops; both empty without scores."""
    of_rows = [of_row for runs in rows.values() if (of_row := _of(runs, metric))]
    if not of_rows:
        return [], []
    every = sorted({clip for runs in rows.values() for run in runs for clip in run.scores})
    kept = [clip for clip in every if all(clip in of_row for of_row in of_rows)]
    return kept, [clip for clip in every if clip not in kept]


def heading(metric: str, higher_is_better: bool | None) -> str:
    """Return the metric's name with an arrow to the better end, if known."""
    return metric.upper() + {True: " ↑", False: " ↓", None: ""}[higher_is_better]


def directions(runs: Sequence[Run]) -> dict[str, bool]:
    """Return metric -> True if higher is better, for all metrics of the runs."""
    return {metric: higher for run in runs for metric, higher in run.higher_is_better.items()}


def _of(runs: Sequence[Run], metric: str) -> Scores:
    """Return the scores on clips with a value for all seeds; empty if a run lacks the metric."""
    clips: dict[str, list[float]] = {}
    for run in runs:
        for clip, values in run.scores.items():
            if metric not in values:
                return {}
            if (value := values[metric]) is not None:
                clips.setdefault(clip, []).append(value)
    return {clip: values for clip, values in clips.items() if len(values) == len(runs)}


def _on_the_same_clips(scores: Mapping[str, Scores]) -> dict[str, Scores]:
    """Return the clips that all rows with scores share."""
    known = [of_row.keys() for of_row in scores.values() if of_row]
    return {
        label: {clip: values for clip, values in of_row.items() if all(clip in clips for clips in known)}
        for label, of_row in scores.items()
    }

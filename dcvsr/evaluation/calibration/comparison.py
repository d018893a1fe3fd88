"""Published numbers and what each convention gives instead."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from tqdm import tqdm

from dcvsr.evaluation.calibration.conventions import Convention
from dcvsr.evaluation.calibration.published_scores import PublishedScore
from dcvsr.evaluation.calibration.subjects import Compared, Subject
from dcvsr.runtime.errors import UserError

log = logging.getLogger(__name__)

Scores = dict[str, float]
"""Name of a convention, or ``<name>_<reading>`` -> value, where there is one."""


@dataclass(frozen=True)
class ComparisonRow:
    """A convention's value of a subject beside the published one.

    Args:
        published: None where nobody published any.
        convention: in words; None where each of the metric's lacks something.
        ours: infinite where nothing differs; None where there is no value.
    """

    subject: str
    metric: str
    published: PublishedScore | None
    convention: str | None
    ours: float | None

    @property
    def verdict(self) -> str:
        """``reproduced``, ``near``, ``not``; nothing where nothing is published."""
        if self.ours is None:
            return "missing" if self.convention is None else "no value"
        return "" if self.published is None else self.published.verdict(self.ours)


@dataclass(frozen=True)
class Calibration:
    """What was found.

    Args:
        rows: in the order of the subjects.
        missing: names of conventions that could not be computed, each with what it needs.
    """

    rows: Sequence[ComparisonRow]
    missing: Mapping[str, str]


def calibrate(
    subjects: Sequence[Subject], conventions: Mapping[str, Convention], missing: Mapping[str, str]
) -> Calibration:
    """Score all subjects by all conventions of the metrics that are published of them, means over clips.

    Args:
        subjects: what to score.
        conventions: by name, which begins with that of the metric: ``ssim_rgb`` is one of ``ssim``.
        missing: names of conventions that lack something, each with what it needs.

    Raises:
        UserError: if a subject cannot be read.
    """
    rows = [row for subject in subjects for row in _rows(subject, conventions)]
    return Calibration(rows, missing)


def metric_of(name: str) -> str:
    """That a convention is one of, by its name."""
    return name.partition("_")[0]


def _rows(subject: Subject, conventions: Mapping[str, Convention]) -> Iterator[ComparisonRow]:
    wanted = {known.metric for known in subject.published}
    chosen = {key: each for key, each in conventions.items() if not wanted or metric_of(key) in wanted}
    scores = _scores(subject, chosen)
    if not wanted:
        for key, says in _named(chosen).items():
            yield ComparisonRow(subject.name, metric_of(key), None, says, scores.get(key))
    for known in subject.published:
        named = {key: says for key, says in _named(chosen).items() if metric_of(key) == known.metric}
        for key, says in named.items():
            yield ComparisonRow(subject.name, known.metric, known, says, scores.get(key))
        if not named:
            yield ComparisonRow(subject.name, known.metric, known, None, None)


def _scores(subject: Subject, conventions: Mapping[str, Convention]) -> Scores:
    """Means over the clips that have a value."""
    by_clip = [_scored(clip, conventions) for clip in subject.clips()] if conventions else []
    names = dict.fromkeys(name for scores in by_clip for name in scores)
    return {name: fmean(scores[name] for scores in by_clip if name in scores) for name in names}


def _scored(clip: Compared, conventions: Mapping[str, Convention]) -> Scores:
    name, restored, reference = clip
    scores = {}
    for key, convention in tqdm(conventions.items(), desc=f"{name}: score", leave=False):
        metric = convention.metric
        if reference is None and metric.needs_reference:
            continue
        metric.to(restored.device).reset()
        try:
            metric.update(restored, reference)
        except UserError as error:
            log.warning(f"{name}: no {key}: {error}")
            continue
        readings = metric.readings() if convention.readings else {}  # type: ignore[operator]
        scores |= {key: metric.compute().item()} | {
            f"{key}_{reading}": readings[reading].item() for reading in convention.readings
        }
    return {key: score for key, score in scores.items() if not math.isnan(score)}


def _named(conventions: Mapping[str, Convention]) -> dict[str, str]:
    """Every convention, and every reading that is one, in words."""
    return {
        name: says
        for key, convention in conventions.items()
        for name, says in {
            key: convention.says,
            **{f"{key}_{reading}": words for reading, words in convention.readings.items()},
        }.items()
    }

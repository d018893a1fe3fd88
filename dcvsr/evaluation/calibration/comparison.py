"""Comparison of published scores with those that each convention gives."""

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
"""Name of a convention, or ``<name>_<reading>`` -> value; undefined values are left out."""


@dataclass(frozen=True)
class ComparisonRow:
    """A convention's score of a subject and the published score.

    Args:
        subject: name of the subject.
        metric: name of the metric.
        published: None if no score is published.
        convention: description; None if no convention of the metric could be computed.
        ours: infinite if the images are equal; None if the score is undefined.
    """

    subject: str
    metric: str
    published: PublishedScore | None
    convention: str | None
    ours: float | None

    @property
    def verdict(self) -> str:
        """``reproduced``, ``near``, ``not``, ``missing`` or ``no value``; empty if nothing is published."""
        if self.ours is None:
            return "missing" if self.convention is None else "no value"
        return "" if self.published is None else self.published.verdict(self.ours)


@dataclass(frozen=True)
class Calibration:
    """Result of a calibration.

    Args:
        rows: in the order of the subjects.
        missing: names of conventions that could not be computed, each with its missing requirement.
    """

    rows: Sequence[ComparisonRow]
    missing: Mapping[str, str]


def calibrate(
    subjects: Sequence[Subject], conventions: Mapping[str, Convention], missing: Mapping[str, str]
) -> Calibration:
    """Score each subject by all conventions of its published metrics, averaged over clips.

    Args:
        subjects: results and references to score.
        conventions: by name, which begins with the metric's name: ``ssim_rgb`` belongs to ``ssim``.
        missing: names of conventions that could not be built, each with its missing requirement.

    Raises:
        UserError: if a subject cannot be read.
    """
    rows = [row for subject in subjects for row in _rows(subject, conventions)]
    return Calibration(rows, missing)


def metric_of(name: str) -> str:
    """Return the metric that a convention belongs to, from its name."""
    return name.partition("_")[0]


def _rows(subject: Subject, conventions: Mapping[str, Convention]) -> Iterator[ComparisonRow]:
    wanted = {known.metric for known in subject.published}
    chosen = {key: each for key, each in conventions.items() if not wanted or metric_of(key) in wanted}
    scores = _scores(subject, chosen)
    if not wanted:
        for key, says in _descriptions(chosen).items():
            yield ComparisonRow(subject.name, metric_of(key), None, says, scores.get(key))
    for known in subject.published:
        named = {key: says for key, says in _descriptions(chosen).items() if metric_of(key) == known.metric}
        for key, says in named.items():
            yield ComparisonRow(subject.name, known.metric, known, says, scores.get(key))
        if not named:
            yield ComparisonRow(subject.name, known.metric, known, None, None)


def _scores(subject: Subject, conventions: Mapping[str, Convention]) -> Scores:
    """Average each convention's scores over the clips for which it is defined."""
    by_clip = [_score_clip(clip, conventions) for clip in subject.clips()] if conventions else []
    names = dict.fromkeys(name for scores in by_clip for name in scores)
    return {name: fmean(scores[name] for scores in by_clip if name in scores) for name in names}


def _score_clip(clip: Compared, conventions: Mapping[str, Convention]) -> Scores:
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
            log.warning(f"{name}: {key} has no score: {error}")
            continue
        readings = metric.readings() if convention.readings else {}
        scores |= {key: metric.compute().item()} | {
            f"{key}_{reading}": readings[reading].item() for reading in convention.readings
        }
    return {key: score for key, score in scores.items() if not math.isnan(score)}


def _descriptions(conventions: Mapping[str, Convention]) -> dict[str, str]:
    """Return the description of each convention, and of each reading that is one, by name."""
    return {
        name: says
        for key, convention in conventions.items()
        for name, says in {
            key: convention.says,
            **{f"{key}_{reading}": words for reading, words in convention.readings.items()},
        }.items()
    }

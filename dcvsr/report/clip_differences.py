"""Differences between the reference and each other row, clip by clip."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from dcvsr.report.row_scores import directions, heading
from dcvsr.report.runs import Run, by_label, on_the_same_clips

UNKNOWN = "-"
COLUMNS = ("dataset", "clip", "metric", "row", "ours", "reference minus row")


@dataclass(frozen=True)
class Delta:
    """Difference of the reference to a row on one clip.

    Args:
        ours: score of the row, mean over its seeds.
        text: the difference; both are ``-`` where a score is missing.
        verdict: ``better`` or ``worse`` for the reference, empty if the printed scores are equal.
    """

    ours: str = UNKNOWN
    text: str = UNKNOWN
    verdict: str = ""


@dataclass(frozen=True)
class Deltas:
    """Differences in one metric.

    Args:
        labels: rows that the reference is compared with.
        clips: clip -> one difference per label.
    """

    dataset: str
    metric: str
    higher_is_better: bool
    reference: str
    labels: list[str]
    clips: dict[str, list[Delta]]

    @property
    def title(self) -> str:
        """Name of the metric with an arrow to the better end."""
        return heading(self.metric, self.higher_is_better)

    def wins(self) -> list[str]:
        """Count the clips on which the reference beats each row, of those on which both have a score."""
        columns = zip(*self.clips.values(), strict=True)
        return [
            f"{sum(delta.verdict == 'better' for delta in column)} of "
            f"{sum(delta.text != UNKNOWN for delta in column)}"
            for column in columns
        ]


def deltas(runs: Sequence[Run], reference: str) -> list[Deltas]:
    """Return the differences of each metric and set of clips; none without the reference or another row."""
    compared = []
    for group in on_the_same_clips(runs):
        rows = by_label(group)
        if reference in rows and len(rows) > 1:
            metrics = directions(group).items()
            compared += [_in(metric, higher, rows, reference) for metric, higher in metrics]
    return compared


def markdown(compared: Sequence[Deltas]) -> str:
    """Format one Markdown table per metric, with a line for each clip."""
    parts = []
    for table in compared:
        rows = [[clip, *(delta.text for delta in row)] for clip, row in table.clips.items()]
        lines = [["", *table.labels], ["---"] * (len(table.labels) + 1), *rows, ["better on", *table.wins()]]
        caption = f"{table.title}: {table.reference} minus each other, clip by clip ({table.dataset})."
        parts.append(f"{caption}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines))
    return "\n".join(parts)


def comma_separated(compared: Sequence[Deltas]) -> str:
    """Format the differences as CSV."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([COLUMNS, *lines(compared)])
    return file.getvalue()


def lines(compared: Sequence[Deltas]) -> Iterator[list[str]]:
    """Return the values of ``COLUMNS`` for each clip, metric and row."""
    for table in compared:
        for clip, row in table.clips.items():
            for label, delta in zip(table.labels, row, strict=True):
                yield [table.dataset, clip, table.metric, label, delta.ours, delta.text]


def _in(metric: str, higher_is_better: bool, rows: dict[str, list[Run]], reference: str) -> Deltas:
    clips, others = sorted(rows[reference][0].scores), [label for label in rows if label != reference]
    means = {label: [_mean(of_row, clip, metric) for clip in clips] for label, of_row in rows.items()}
    known = [value for row in means.values() for value in row if value is not None]
    digits = 2 if max(map(abs, known), default=0) >= 10 else 4
    differences = {
        clip: [_delta(means[reference][i], means[label][i], higher_is_better, digits) for label in others]
        for i, clip in enumerate(clips)
    }
    return Deltas(rows[reference][0].dataset, metric, higher_is_better, reference, others, differences)


def _mean(runs: Sequence[Run], clip: str, metric: str) -> float | None:
    """Compute the mean over seeds; None if a seed has no score."""
    values = [run.scores[clip].get(metric) for run in runs]
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None


def _delta(ours: float | None, theirs: float | None, higher_is_better: bool, digits: int) -> Delta:
    if theirs is None:
        return Delta()
    shown = f"{theirs:.{digits}f}"
    if ours is None:
        return Delta(shown)
    difference = round(ours - theirs, digits)
    verdict = "better" if (difference > 0) == higher_is_better else "worse"
    return Delta(shown, f"{difference:+.{digits}f}", verdict if difference else "")

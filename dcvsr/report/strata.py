"""Tables of strata: clips grouped by the strength of blur, noise, JPEG and codec."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dcvsr.report.runs import Run, by_label, on_the_same_clips
from dcvsr.report.table import Table, table

Strengths = Mapping[str, float | None]
"""Clip -> strength of one kind of degradation; None if it was not applied."""


@dataclass(frozen=True)
class Kind:
    """Kind of strength of `dcvsr.degradation.strength`; ``sign`` is -1 if smaller values are heavier."""

    title: str
    sign: int


KINDS = {
    "blur": Kind("Blur (pixels)", 1),
    "noise": Kind("Noise (levels of 255)", 1),
    "jpeg": Kind("JPEG (quality)", -1),
    "codec": Kind("Codec (bits per pixel and frame)", -1),
    "crf": Kind("Codec (rate factor)", 1),
}


def strata(runs: Sequence[Run], reference: str = "dcvsr") -> list[Table]:
    """Return a table for each stratum of at least two clips that is not the whole set."""
    return [
        stratum
        for of_clips in on_the_same_clips(runs)
        for name, kind in KINDS.items()
        for stratum in _of_kind(name, kind, of_clips, reference)
    ]


def halves(strengths: Strengths, sign: int) -> dict[str, list[str]]:
    """Split clips into ``none``, ``lighter`` and ``heavier`` than the median; ties are ``lighter``."""
    happened = {clip: sign * value for clip, value in strengths.items() if value is not None}
    ordered = sorted(happened, key=lambda clip: (happened[clip], clip))
    middle = len(ordered) if len(set(happened.values())) == 1 else (len(ordered) + 1) // 2
    none = [clip for clip in strengths if clip not in happened]
    return {"none": none, "lighter": ordered[:middle], "heavier": ordered[middle:]}


def _of_kind(name: str, kind: Kind, runs: Sequence[Run], reference: str) -> Iterator[Table]:
    """Name the stratum in the dataset too, because CSV has no titles."""
    strengths, rows = _strengths(runs, name), by_label(runs)
    for half, clips in halves(strengths, kind.sign).items():
        if 2 <= len(clips) < len(strengths):
            stratum = _on(clips, rows, reference)
            title = _title(kind.title, half, [strengths[clip] for clip in clips])
            yield replace(stratum, title=title, dataset=f"{stratum.dataset}, {name} {half}")


def _strengths(runs: Sequence[Run], name: str) -> Strengths:
    """Return the strengths of clips on which all runs that record them agree, which had the same LR."""
    told = {clip: [run.strength.get(clip) for run in runs] for clip in sorted(runs[0].scores)}
    known = {clip: [of_run for of_run in of_runs if of_run] for clip, of_runs in told.items()}
    return {
        clip: of_runs[0].get(name)
        for clip, of_runs in known.items()
        if of_runs and all(of_run == of_runs[0] for of_run in of_runs)
    }


def _on(clips: Sequence[str], rows: Mapping[str, Sequence[Run]], reference: str) -> Table:
    """Return runs restricted to some clips, without costs, which are those of all clips."""
    some = {
        label: [replace(run, scores={clip: run.scores[clip] for clip in clips}) for run in of_row]
        for label, of_row in rows.items()
    }
    of_clips = table(some, reference=reference)
    return replace(of_clips, rows=[replace(row, evaluations=None, seconds=None) for row in of_clips.rows])


def _title(kind: str, half: str, strengths: Sequence[float | None]) -> str:
    known = [value for value in strengths if value is not None]
    return f"{kind}, {half}: {min(known):.3g} to {max(known):.3g}" if known else f"{kind}: none"

"""Choice of the clips whose videos the page shows."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dcvsr.report.runs import Run, by_label, on_the_same_clips
from dcvsr.runtime.errors import UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scene:
    """One clip.

    Args:
        videos: label of a row -> the video, or folder of frames, of its first seed.
        reference: the row that others are compared with.
        truth: a video or a folder of frames; None where it is not known.
    """

    dataset: str
    clip: str
    videos: dict[str, Path]
    reference: str
    truth: Path | None = None


def scenes(runs: Sequence[Run], reference: str, truth: Path | None, most: int) -> list[Scene]:
    """Choose at most ``count`` clips: those on which the rows differ most in their first metric.

    Videos that are no longer there are told of and left out; the first row stands in for a missing reference.

    Raises:
        UserError: if ``truth`` lacks a clip.
    """
    ranked: list[tuple[float, Scene]] = []
    missing: list[Path] = []
    for group in on_the_same_clips(runs):
        rows = by_label(group)
        for clip in group[0].scores if any((run.folder / "videos").is_dir() for run in group) else ():
            paths = {label: of_row[0].folder / "videos" / clip for label, of_row in rows.items()}
            videos = {label: found for label, path in paths.items() if (found := _called(path))}
            missing += [path for label, path in paths.items() if label not in videos]
            if videos:
                base = reference if reference in videos else next(iter(videos))
                ranked.append((_disagreement(rows, clip), Scene(group[0].dataset, clip, videos, base)))
    if missing and most:
        log.warning(f"{len(missing)} videos are not there and not shown, such as {missing[0]}")
    shown = _most_different(ranked, most)
    return shown if truth is None else [replace(scene, truth=_of(truth, scene.clip)) for scene in shown]


def _most_different(ranked: Sequence[tuple[float, Scene]], most: int) -> list[Scene]:
    """Return the clips in the order of the runs."""
    chosen = sorted(range(len(ranked)), key=lambda i: -ranked[i][0])[:most]
    if 0 < most < len(ranked):
        log.info(f"{most} of {len(ranked)} clips are shown; media={len(ranked)} shows all")
    return [ranked[i][1] for i in sorted(chosen)]


def _disagreement(rows: Mapping[str, Sequence[Run]], clip: str) -> float:
    """Compute the difference between the rows' first seeds in the first metric; 0 without scores."""
    first = next((metric for runs in rows.values() for metric in runs[0].higher_is_better), "")
    scores = [score for runs in rows.values() if (score := runs[0].scores[clip].get(first)) is not None]
    return max(scores, default=0.0) - min(scores, default=0.0)


def _of(truth: Path, clip: str) -> Path:
    if not truth.is_dir():
        raise UserError(f"truth={truth} is not a folder; give a folder of videos or of folders of frames")
    named = _called(truth / clip)
    if named is None:
        raise UserError(f"truth={truth} holds no clip {clip}; name the folder of what was scored")
    return named


def _called(path: Path) -> Path | None:
    """Return the file or folder of that name with any suffix."""
    beside = sorted(path.parent.iterdir()) if path.parent.is_dir() else []
    return next((found for found in beside if path.name in (found.name, found.stem)), None)

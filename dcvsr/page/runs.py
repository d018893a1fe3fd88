"""Runs of python -m dcvsr.evaluate, and which of them differ in their seed alone."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dcvsr.errors import UserError
from dcvsr.files import read_json

NO_SETTING = (
    "seed=",
    "seeds=",
    "keep=",
    "crf=",
    "fps=",
    "ckpt=",
    "runs=",
    "upscaler=",
    "wandb",
    "cache",
    "hydra",
    "~",
    "+sweep=",
    "+experiment=",
)
"""How overrides begin that do not tell settings apart; the upscaler is told anyway."""


@dataclass(frozen=True)
class Run:
    """What a run left in its summary.json, by one of its seeds.

    Args:
        scores: clip -> metric -> value, None where it is infinite or not defined.
        higher_is_better: metric -> whether.
        settings: overrides that may tell it from others.
        evaluations: of the U-Net, of a tile each.
        seconds: of work, on all clips.
        folder: where it left its videos.
        strength: clip -> what its degradation did to it (`dcvsr.degradation.strength`), None where not known.
        lr_sha256: clip -> digest of its LR.
    """

    upscaler: str
    seed: int
    dataset: str
    scores: dict[str, dict[str, float | None]]
    higher_is_better: dict[str, bool]
    settings: tuple[str, ...]
    evaluations: int
    seconds: float
    folder: Path = Path()
    strength: Mapping[str, Mapping[str, float | None] | None] = field(default_factory=dict)
    lr_sha256: Mapping[str, str] = field(default_factory=dict)


def runs_under(folder: Path) -> list[Run]:
    """Every finished evaluation below a folder, in the order of their folders' names, seed by seed.

    Raises:
        UserError: if there is none, or one is damaged.
    """
    paths = sorted(folder.rglob("summary.json"), key=_natural)
    if not paths:
        raise UserError(f"{folder} holds no run of python -m dcvsr.evaluate; name the folder of a sweep")
    return [run for path in paths for run in _runs(path)]


def on_the_same_clips(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs whose means compare: of one data set, and of the same LR as far as that is known."""
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        clips = (f"{clip} {run.lr_sha256.get(clip)}" for clip in sorted(run.scores))
        groups.setdefault((run.dataset, *clips), []).append(run)
    return list(groups.values())


def by_label(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Label -> its seeds: the upscaler, and those of its settings that not all runs share."""
    common = Counter(setting for run in runs for setting in set(run.settings))
    rows: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        own = [setting for setting in run.settings if common[setting] < len(runs)]
        rows[" ".join([run.upscaler, *own])].append(run)
    return dict(rows)


def families(rows: Iterable[str], key: str) -> dict[str, list[str]]:
    """What labels share but for ``key=...`` -> the labels."""
    found: dict[str, list[str]] = defaultdict(list)
    for label in rows:
        found[" ".join(part for part in label.split(" ") if not part.startswith(f"{key}="))].append(label)
    return dict(found)


def _runs(path: Path) -> list[Run]:
    summary = read_json(path)
    try:
        by_seed = summary.get("by_seed") or {summary["seed"]: summary["clips"]}
        return [_run(path, summary, int(seed), scores, len(by_seed)) for seed, scores in by_seed.items()]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{path} is not what python -m dcvsr.evaluate writes: {error}") from error


def _run(path: Path, summary: Mapping[str, Any], seed: int, scores: dict[str, Any], seeds: int) -> Run:
    """All seeds cost the same."""
    return Run(
        upscaler=summary["upscaler"],
        seed=seed,
        dataset=summary["dataset"],
        scores=scores,
        higher_is_better={name: m["higher_is_better"] for name, m in summary["metrics"].items()},
        settings=tuple(sorted(told for told in summary["overrides"] if not told.startswith(NO_SETTING))),
        evaluations=round(summary["cost"]["evaluations"] / seeds),
        seconds=summary["cost"]["seconds"] / seeds,
        folder=path.parent,
        strength=summary.get("strength", {}),
        lr_sha256=summary.get("lr_sha256", {}),
    )


def _natural(path: Path) -> list[tuple[int, str]]:
    """2 before 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in path.parts]

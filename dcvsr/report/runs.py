"""Evaluation runs, grouped so that runs of a group differ only in their sampling seed."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dcvsr.evaluation.paper_tables import WEIGHTS
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import read_json

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
"""Beginnings of overrides that labels leave out: upscaler, weights and seed appear separately."""


@dataclass(frozen=True)
class Weights:
    """Weights of a run, from its summary.json.

    Args:
        sha256: of their file, empty where there is none or it is not told.
        name: of their file; ``none`` for a run without weights, ``unknown`` where the summary does not tell.
        recipe: of their training without its seed (`dcvsr.runtime.provenance.training`), and their step;
            empty where not known.
        losses: metrics that were terms of the training's loss.
    """

    sha256: str = ""
    name: str = "unknown"
    recipe: str = ""
    losses: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Identity of the weights, independent of file names."""
        return self.sha256 or self.name

    def __str__(self) -> str:
        return f"{WEIGHTS}{':'.join(filter(None, [self.name.replace(' ', '_'), self.sha256[:8]]))}"


@dataclass(frozen=True)
class Run:
    """Results of one seed of a run, from its summary.json.

    Args:
        scores: clip -> metric -> value, None where it is infinite or not defined.
        higher_is_better: metric -> whether.
        settings: overrides that may tell it from others.
        evaluations: of the U-Net, of a tile each.
        seconds: of work, on all clips.
        folder: where it left its videos.
        strength: clip -> what its degradation did to it (`dcvsr.degradation.strength`), None where not known.
        lr_sha256: clip -> digest of its LR.
        weights: that it used.
        conflicts: folders of runs with its settings, weights and seed and with other scores; see `by_label`.
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
    weights: Weights = Weights()
    conflicts: tuple[Path, ...] = ()


def runs_under(folder: Path) -> list[Run]:
    """Return every finished evaluation below a folder, ordered by folder name and seed.

    Raises:
        UserError: if there is none, or one is damaged.
    """
    paths = sorted(folder.rglob("summary.json"), key=_natural)
    if not paths:
        raise UserError(f"{folder} holds no run of python -m dcvsr.evaluate; name the folder of a sweep")
    return [run for path in paths for run in _runs(path)]


def on_the_same_clips(runs: Sequence[Run]) -> list[list[Run]]:
    """Group runs with comparable means: same dataset and, as far as known, same LR."""
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        clips = (f"{clip} {run.lr_sha256.get(clip)}" for clip in sorted(run.scores))
        groups.setdefault((run.dataset, *clips), []).append(run)
    return list(groups.values())


def by_label(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Group the runs of each row: label -> one run per sampling seed.

    Rows differ in upscaler, settings or weights. The label is the upscaler and those settings that not all
    runs share. It names the weights where rows would else have one label. Of runs with equal settings,
    weights and seed the first counts; it notes those whose scores differ.
    """
    common = Counter(setting for run in runs for setting in set(run.settings))
    found: dict[tuple[str, ...], dict[str, dict[int, Run]]] = {}
    for run in runs:
        own = [setting for setting in run.settings if common[setting] < len(runs)]
        seeds = found.setdefault((run.upscaler, *own), {}).setdefault(run.weights.key, {})
        seeds[run.seed] = _first(seeds.get(run.seed, run), run)
    rows = {}
    for (upscaler, *own), by_weights in found.items():
        for seeds in map(list, map(dict.values, by_weights.values())):
            told = [str(seeds[0].weights)] if len(by_weights) > 1 else []
            rows[" ".join([upscaler, *told, *own])] = seeds
    return rows


def families(rows: Iterable[str], key: str) -> dict[str, list[str]]:
    """Group labels that differ only in ``key=...``."""
    found: dict[str, list[str]] = defaultdict(list)
    for label in rows:
        found[" ".join(part for part in label.split(" ") if not part.startswith(f"{key}="))].append(label)
    return dict(found)


def _first(before: Run, run: Run) -> Run:
    """Compare two runs with equal settings, weights and seed."""
    if run.scores == before.scores:
        return before
    return replace(before, conflicts=(*before.conflicts, run.folder))


def _runs(path: Path) -> list[Run]:
    summary = read_json(path)
    try:
        by_seed = summary.get("by_seed") or {summary["seed"]: summary["clips"]}
        return [_run(path, summary, int(seed), scores, len(by_seed)) for seed, scores in by_seed.items()]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{path} is not what python -m dcvsr.evaluate writes: {error}") from error


def _run(path: Path, summary: Mapping[str, Any], seed: int, scores: dict[str, Any], seeds: int) -> Run:
    """Return the cost of one seed; all seeds cost the same."""
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
        weights=_weights(summary),
    )


def _weights(summary: Mapping[str, Any]) -> Weights:
    told = summary.get("weights")
    if told is None:
        return Weights(name="none" if "weights" in summary else "unknown")
    trained = told.get("training")
    recipe = f"{trained['recipe']} {told['stage']} {told['step']}" if trained else ""
    name = Path(told["file"] or "unnamed").name
    return Weights(told["sha256"], name, recipe, tuple(told.get("losses", ())))


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort numbers by value: 2 before 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in path.parts]

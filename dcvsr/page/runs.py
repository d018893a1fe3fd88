"""Runs of python -m dcvsr.evaluate, and which of them differ in their seed alone."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from dcvsr.errors import UserError
from dcvsr.files import read_json

NO_SETTING = (
    "seed=",
    "ckpt=",
    "runs=",
    "upscaler=",
    "wandb",
    "hydra",
    "~",
    "+sweep=",
    "+experiment=",
    "+table1=",
)
"""How overrides begin that do not tell settings apart; the upscaler is told anyway."""


@dataclass(frozen=True)
class Run:
    """What a run left in its summary.json.

    Args:
        scores: clip -> metric -> value, None where it is infinite or not defined.
        higher_is_better: metric -> whether.
        settings: overrides that may tell it from others.
        evaluations: of the U-Net, of a tile each.
    """

    upscaler: str
    seed: int
    dataset: str
    scores: dict[str, dict[str, float | None]]
    higher_is_better: dict[str, bool]
    settings: tuple[str, ...]
    evaluations: int
    seconds: float


def runs_under(folder: Path) -> list[Run]:
    """Every finished evaluation below a folder, in the order of their folders' names.

    Raises:
        UserError: if there is none, or one is damaged.
    """
    paths = sorted(folder.rglob("summary.json"), key=_natural)
    if not paths:
        raise UserError(f"{folder} holds no run of python -m dcvsr.evaluate; name the folder of a sweep")
    return [_run(path) for path in paths]


def by_label(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Label -> its seeds: the upscaler, and those of its settings that not all runs share."""
    common = Counter(setting for run in runs for setting in set(run.settings))
    rows: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        own = [setting for setting in run.settings if common[setting] < len(runs)]
        rows[" ".join([run.upscaler, *own])].append(run)
    return dict(rows)


def _run(path: Path) -> Run:
    summary = read_json(path)
    try:
        return Run(
            upscaler=summary["upscaler"],
            seed=summary["seed"],
            dataset=summary["dataset"],
            scores=summary["clips"],
            higher_is_better={name: m["higher_is_better"] for name, m in summary["metrics"].items()},
            settings=tuple(_settings(path.parent / ".hydra" / "overrides.yaml")),
            evaluations=summary["cost"]["evaluations"],
            seconds=summary["cost"]["seconds"],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not what python -m dcvsr.evaluate writes: {error}") from error


def _settings(overrides: Path) -> Iterable[str]:
    if not overrides.exists():
        return []
    told: Any = OmegaConf.to_container(OmegaConf.load(overrides))
    return sorted(str(override) for override in told if not str(override).startswith(NO_SETTING))


def _natural(path: Path) -> list[tuple[int, str]]:
    """2 before 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in path.parts]

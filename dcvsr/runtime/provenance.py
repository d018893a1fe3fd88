"""Provenance of results: weights, seed, versions and machine."""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from omegaconf import OmegaConf

from dcvsr.runtime.files import file_sha256, write_whole
from dcvsr.runtime.versions import package_versions

NO_RECIPE = {"seed", "runs", "ckpt", "resume", "wandb", "loggers", "callbacks", "cache"}
NO_RECIPE |= {"keep_last", "keep_best", "save_in_background", "run_group"}
"""Settings of a training run that are not part of its recipe; its starting point is recorded separately."""


class Origin(Protocol):
    """Place that weights were loaded from; ``str`` describes it in one line."""

    def record(self) -> dict[str, Any]:
        """Return plain values that identify the weights: at least ``file`` and ``sha256``."""
        ...


def file_record(path: Path, stage: int | None = None, step: int | None = None) -> dict[str, Any]:
    """Return the record of a weight file, with stage, optimizer step and recipe of its training if known."""
    return {
        "file": str(path),
        "sha256": file_sha256(path),
        "stage": stage,
        "step": step,
        "training": training(path),
    }


def describe(origin: Origin | None, seed: int, device: object) -> dict[str, Any]:
    """Return the record of the weights, seed, versions and machine as plain values."""
    return {
        "weights": origin and origin.record(),
        "seed": seed,
        "device": str(device),
        "versions": package_versions(),
    }


def training(ckpt: Path) -> dict[str, Any] | None:
    """Return ``seed`` and ``recipe`` of the training that left a checkpoint; None without its run folder.

    ``recipe`` is the SHA-256 of the settings, without seed and paths, and of the recipe of the checkpoint
    that the run started from. Runs with one recipe and step differ only in their seeds.
    """
    folder = ckpt.resolve().parent.parent
    settings, resolved = folder / ".hydra" / "config.yaml", folder / "config.yaml"
    if not (settings.is_file() and resolved.is_file()):
        return None
    given: Any = OmegaConf.to_container(OmegaConf.load(settings))
    start = str(OmegaConf.select(OmegaConf.load(resolved), "start"))
    kept = {key: value for key, value in given.items() if key not in NO_RECIPE}
    text = json.dumps([kept, _recipe_of_start(start)], sort_keys=True)
    return {"seed": given.get("seed"), "recipe": hashlib.sha256(text.encode()).hexdigest()}


def _recipe_of_start(start: str) -> str:
    """Return the recipe of ``start``, which is ``FILE (scale=..., stage ..., step ...)``."""
    name, _, about = start.rpartition(" (scale=")
    file = Path(name)
    if not (name and file.is_file()):
        return start
    before = training(file)
    return file_sha256(file) if before is None else f"{before['recipe']} {about}"


def write_json(path: Path, content: dict[str, Any], way_out: str = "give another output=") -> None:
    """Write ``content`` whole or not at all, as ``write_whole`` does."""
    write_whole(path, json.dumps(content, indent=2, ensure_ascii=False), way_out)


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table whole or not at all."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    write_whole(path, text.getvalue())

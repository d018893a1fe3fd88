"""Progress of an evaluation, saved after each clip so that the same command resumes a stopped run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import read_json, write_whole

IGNORED = {"wandb", "runs", "cache", "dry_run"}
"""Settings that do not change scores; a run may resume with other values of them."""


class Progress:
    """Results so far, in ``progress.json`` of the run folder; only ``add`` and ``finish`` write it.

    Args:
        folder: of the run.
        identity: ``settings`` and ``weights`` that the results belong to.

    Raises:
        UserError: if the folder holds a run with other settings or weights.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.path, summary = folder / "progress.json", folder / "summary.json"
        self.is_finished = summary.exists()
        self.identity = {key: identity[key] for key in ("settings", "weights")}
        self.results: dict[str, dict[str, Any]] = {}
        self.cost: dict[str, Any] = {}
        if before := next((path for path in (summary, self.path) if path.exists()), None):
            content = read_json(before)
            require_same(folder, content, identity)
            self.results, self.cost = content.get("results", {}), content["cost"]
        self._cost_before = self.cost

    def result(self, clip: str, seed: int) -> dict[str, Any] | None:
        """Return the result that ``add`` stored, None if there is none."""
        return self.results.get(clip, {}).get(str(seed))

    def add(self, clip: str, seed: int, result: Mapping[str, Any], cost: Mapping[str, Any]) -> None:
        """Store a clip's result, and the add_costs cost since this process started."""
        self.results.setdefault(clip, {})[str(seed)] = dict(result)
        self.cost = add_costs(self._cost_before, cost)
        content = {**self.identity, "results": self.results, "cost": self.cost}
        write_whole(self.path, json.dumps(content, ensure_ascii=False))

    def finish(self) -> None:
        """Delete ``progress.json``; call once summary.json is written."""
        self.path.unlink(missing_ok=True)


def require_same(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise UserError, naming a difference, if the run in ``folder`` has other settings or weights."""
    there, here = (
        _leaves({"weights": part["weights"] and part["weights"]["sha256"], **part["settings"]})
        for part in (before, now)
    )
    for key in dict.fromkeys([*there, *here]):
        if IGNORED.isdisjoint(key.split(".")) and there.get(key) != here.get(key):
            raise UserError(
                f"{folder} holds a run with other settings ({key} is {there.get(key)} there, "
                f"{here.get(key)} here); name another folder or move it away"
            )


def add_costs(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Add two costs: sum counts and seconds, take the maximum of peaks."""
    both = dict(other)
    for key, value in one.items():
        if isinstance(value, Mapping):
            both[key] = add_costs(value, other.get(key, {}))
        elif key in other:
            both[key] = max(value, other[key]) if key.startswith("peak") else value + other[key]
        else:
            both[key] = value
    return both


def _leaves(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for name, value in settings.items():
        key = f"{prefix}{name}"
        leaves |= _leaves(value, f"{key}.") if isinstance(value, Mapping) else {key: value}
    return leaves

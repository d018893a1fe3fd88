"""What a result was made with, so that another can make it again."""

import csv
import io
import json
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dcvsr.files import write_whole
from dcvsr.weights import sha256

PACKAGES = ("dcvsr", "torch", "diffusers", "lightning", "av", "numpy")


def describe(origin: Any, seed: int, device: object) -> dict[str, Any]:
    """Weights (the checkpoint they came from, its SHA-256), seed, versions and machine, as plain values."""
    weights = origin and {
        "file": str(origin.path),
        "sha256": sha256(origin.path),
        "stage": origin.stage,
        "step": origin.step,
    }
    return {
        "weights": weights,
        "seed": seed,
        "device": str(device),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` whole or not at all."""
    write_whole(path, json.dumps(content, indent=2, ensure_ascii=False))


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table whole or not at all."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    write_whole(path, text.getvalue())

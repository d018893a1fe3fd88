"""Calibration results as Markdown, CSV and JSON."""

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

from dcvsr.evaluation.calibration.comparison import Calibration, ComparisonRow
from dcvsr.evaluation.calibration.verdicts import difference, verdicts
from dcvsr.runtime.files import write_whole

COLUMNS: tuple[str, ...] = (
    "of", "metric", "published", "source", "convention", "ours", "digits agreed", "difference", "verdict",
)  # fmt: skip


def write(folder: Path, calibration: Calibration) -> None:
    """Write calibration.md, calibration.csv and calibration.json, each atomically."""
    for suffix, form in {".md": markdown, ".csv": comma_separated, ".json": as_json}.items():
        write_whole(folder / f"calibration{suffix}", form(calibration))


def markdown(calibration: Calibration) -> str:
    """Format the verdicts, the missing conventions and the table as Markdown."""
    missing: dict[str, list[str]] = {}
    for name, why in calibration.missing.items():
        missing.setdefault(why, []).append(name)
    lines = [f"- {verdict}" for verdict in verdicts(calibration)]
    lines += [f"- missing: {', '.join(names)}: {why}" for why, names in missing.items()]
    heads = [COLUMNS, ["---"] * len(COLUMNS)]
    table = [*heads, *(list(_cells(row).values()) for row in calibration.rows)]
    return "\n".join(lines) + "\n\n" + "".join(f"| {' | '.join(cells)} |\n" for cells in table)


def comma_separated(calibration: Calibration) -> str:
    """Format the table as CSV, our values at full precision."""
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_plain(row) for row in calibration.rows)
    return file.getvalue()


def as_json(calibration: Calibration) -> str:
    """Format ``rows`` as in the CSV file, ``verdicts`` and ``missing`` as JSON; null for infinite values."""
    rows = [_plain(row) for row in calibration.rows]
    content = {
        "verdicts": verdicts(calibration),
        "missing": dict(calibration.missing),
        "rows": [{name: None if _infinite(value) else value for name, value in row.items()} for row in rows],
    }
    return json.dumps(content, indent=2, ensure_ascii=False)


def _infinite(value: Any) -> bool:
    return isinstance(value, float) and math.isinf(value)


def _plain(row: ComparisonRow) -> dict[str, Any]:
    published, agreed, off = row.published, None, None
    if published is not None and row.ours is not None:
        agreed, off = published.agreed(row.ours), difference(row)
    known = (published and published.value, published and published.source)
    values = (row.subject, row.metric, *known, row.convention, row.ours, agreed, off, row.verdict)
    return dict(zip(COLUMNS, values, strict=True))


def _cells(row: ComparisonRow) -> dict[str, str]:
    """Format a row; our value has two decimals more than the published one, at most six."""
    places = 4 if row.published is None else min(len(row.published.value.partition(".")[2]) + 2, 6)
    cells = {name: "-" if value in (None, "") else str(value) for name, value in _plain(row).items()}
    if row.ours is not None:
        cells["ours"] = f"{row.ours:.{places}f}"
    if row.ours is not None and row.published is not None:
        cells["digits agreed"] += f" of {row.published.digits}"
        cells["difference"] = f"{difference(row):+.{places}f}"
    return cells

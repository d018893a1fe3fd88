"""Files that ``upscale`` writes beside the video: their names, and a check that they replace nothing else."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import require_short_names


def report_path(output: Path) -> Path:
    """Return the file of the report on ``output``: ``big.mp4.json``, which no other output shares."""
    return output.with_name(f"{output.name}.json")


def table_path(output: Path, table: str) -> Path:
    """Return the file of a table on ``output``: ``big.mp4.attention.csv``."""
    return output.with_name(f"{output.name}.{table}.csv")


def require_free_names(output: Path, tables: Iterable[str] = ()) -> None:
    """Check, before any work, the names of all files beside the output; an earlier report is replaced.

    Raises:
        UserError: if a name is too long for the file system, or that of the report belongs to another file.
    """
    report, folder = report_path(output), output.with_name(f"{output.name}.part")
    require_short_names([folder, report, *(table_path(output, table) for table in tables)])
    if os.path.lexists(report) and not _is_report(report):
        raise UserError(f"{report} is not an earlier report; move it, or name another output=")


def _is_report(path: Path) -> bool:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and {"input", "output", "settings"} <= content.keys()

"""Warning of files of a folder that are neither videos nor frames."""

import logging
from collections.abc import Collection
from pathlib import Path

log = logging.getLogger(__name__)

_OF_LR_SETS = {"manifest.json", "preview.png"}
_NAMED = 10


def warn_of_skipped(folder: Path, files: Collection[Path], kind: str = "videos") -> None:
    """Name files of a folder of videos, or of another kind, that are skipped, in one line; a few of many."""
    names = [path.name for path in files if path.name not in _OF_LR_SETS]
    if names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        log.warning(f"{folder}: not {kind}, and skipped: {', '.join(names[:_NAMED])}{more}")

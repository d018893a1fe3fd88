"""Check for the video files of the published and unseen datasets."""

from collections.abc import Sequence
from pathlib import Path

from dcvsr.runtime.errors import UserError


def require(path: Path | str, names: Sequence[str]) -> None:
    """Raise UserError, naming all missing files, unless the folder ``path`` holds the files ``names``."""
    missing = [name for name in names if not Path(path, name).is_file()]
    if missing:
        raise UserError(
            f"{path} lacks {', '.join(missing)}: name the folder that holds them with data.path=FOLDER; "
            "dcvsr/models/nano.md lists their sources"
        )

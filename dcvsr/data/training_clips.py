"""The clips that the model that comes with dcvsr is trained on."""

from collections.abc import Sequence
from pathlib import Path

from dcvsr.runtime.errors import UserError


def require(path: Path | str, names: Sequence[str]) -> None:
    """Raises UserError, naming all that are missing, unless the folder ``path`` holds these files."""
    missing = [name for name in names if not Path(path, name).is_file()]
    if missing:
        raise UserError(
            f"{path} lacks {', '.join(missing)}: name the folder that holds them with data.path=FOLDER; "
            "dcvsr/models/nano.md says where they are from"
        )

"""The REDS data set: what must lie where. Imports nothing slow: it is asked before a run starts."""

from pathlib import Path

from dcvsr.errors import UserError

CLIPS = 270
"""240 clips of train_sharp, then the 30 of val_sharp renamed 240 to 269 (spec 5.1)."""


def require(path: str) -> None:
    """Raise UserError unless ``path`` holds every clip: it says which are missing and how to get them."""
    missing = [f"{clip:03d}" for clip in range(CLIPS) if not Path(path, f"{clip:03d}").is_dir()]
    if missing:
        some = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise UserError(
            f"REDS at {path} lacks {len(missing)} of {CLIPS} clips ({some}): unpack train_sharp as 000 to 239"
            " and val_sharp as 240 to 269 (seungjunnah.github.io/Datasets/reds), then give data.path=FOLDER"
        )

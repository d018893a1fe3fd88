"""The REDS data set: what must lie where. Imports nothing slow: it is asked before a run starts."""

import os
from collections.abc import Mapping
from pathlib import Path

from dcvsr.runtime.errors import UserError

CLIPS = 270
"""240 clips of train_sharp, then the 30 of val_sharp renamed 240 to 269 (spec 5.1)."""
FRAMES = 100
PARTS = {"train_sharp": (0, 240), "val_sharp": (240, 30)}
"""Part -> number of its first clip here, and how many it has."""


def require(path: str) -> None:
    """Raise UserError unless ``path`` holds every frame of every clip: it says what is missing.

    Frames are looked for by name, ``000/00000000.png`` to ``269/00000099.png``.
    """
    if faults := _faults({f"{clip:03d}": Path(path, f"{clip:03d}") for clip in range(CLIPS)}):
        raise UserError(
            f"REDS at {path} lacks {faults}: unpack train_sharp and val_sharp "
            "(seungjunnah.github.io/Datasets/reds), link them with python -m dcvsr.data.reds, then give "
            "data.path=FOLDER"
        )


def official(folder: Path) -> dict[str, Path]:
    """Our name -> folder of each clip that the zips unpacked to, ``train/train_sharp/000`` and so on.

    Raises:
        UserError: if a part, a clip or a frame is missing; clips are called by our names.
    """
    parts = {name: _part(folder, name) for name in PARTS}
    clips = {
        f"{first + number:03d}": parts[name] / f"{number:03d}"
        for name, (first, count) in PARTS.items()
        for number in range(count)
    }
    if faults := _faults(clips):
        raise UserError(
            f"REDS at {folder} lacks {faults}; 240 to 269 are val_sharp's 000 to 029: unpack what lacks again"
        )
    return clips


def _part(folder: Path, name: str) -> Path:
    """The zips unpack to the second of these places; many move them to the first."""
    places = [folder / name, folder / name.partition("_")[0] / name]
    for place in places:
        if place.is_dir():
            return place
    raise UserError(
        f"{folder} has neither {name} nor {places[1].relative_to(folder)}: unpack {name}.zip there "
        "(seungjunnah.github.io/Datasets/reds)"
    )


def _faults(clips: Mapping[str, Path]) -> str:
    """Which clips are missing and which are not whole; nothing if all is there."""
    expected = {f"{frame:08d}.png" for frame in range(FRAMES)}
    missing = [name for name, clip in clips.items() if not clip.is_dir()]
    frames = {name: expected & set(os.listdir(clip)) for name, clip in clips.items() if name not in missing}
    short = [
        f"{name} has {len(found)} of {FRAMES}, not {min(expected - found)}"
        for name, found in frames.items()
        if found != expected
    ]
    told = [f"{len(missing)} of {len(clips)} clips ({_some(missing)})"] if missing else []
    if short:
        told.append(f"frames of {len(short)} of {len(clips)} clips ({_some(short)})")
    return " and ".join(told)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")

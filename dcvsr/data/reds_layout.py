"""Folder layout of the REDS dataset; imports no slow packages, as runs start with it."""

import os
from collections.abc import Mapping
from pathlib import Path

from dcvsr.runtime.errors import UserError

CLIPS = 270
"""The 240 clips of train_sharp, then the 30 of val_sharp as 240 to 269 (spec 5.1)."""
FRAMES = 100
PARTS = {"train_sharp": (0, 240), "val_sharp": (240, 30)}
"""Part -> number of its first clip in our numbering, and its number of clips."""


def require(path: str) -> None:
    """Raise UserError, naming what is missing, unless ``path`` holds every frame of every clip.

    Frames are found by name, ``000/00000000.png`` to ``269/00000099.png``.
    """
    if faults := _faults({f"{clip:03d}": Path(path, f"{clip:03d}") for clip in range(CLIPS)}):
        raise UserError(
            f"REDS at {path} lacks {faults}: unpack train_sharp and val_sharp "
            "(seungjunnah.github.io/Datasets/reds), link them with python -m dcvsr.data.reds, then give "
            "data.path=FOLDER"
        )


def official_clips(folder: Path) -> dict[str, Path]:
    """Return the folder of each clip of the unpacked zips, such as ``train/train_sharp/000``, by our number.

    Raises:
        UserError: if a part, a clip or a frame is missing; the message uses our numbers.
    """
    parts = {name: _part(folder, name) for name in PARTS}
    clips = {
        f"{first + number:03d}": parts[name] / f"{number:03d}"
        for name, (first, count) in PARTS.items()
        for number in range(count)
    }
    if faults := _faults(clips):
        raise UserError(
            f"REDS at {folder} lacks {faults}; 240 to 269 are val_sharp's 000 to 029: unpack these again"
        )
    return clips


def _part(folder: Path, name: str) -> Path:
    """Return the folder of a part: ``folder/name``, or the zips' own path, such as ``train/train_sharp``."""
    places = [folder / name, folder / name.partition("_")[0] / name]
    for place in places:
        if place.is_dir():
            return place
    raise UserError(
        f"{folder} has neither {name} nor {places[1].relative_to(folder)}: unpack {name}.zip there "
        "(seungjunnah.github.io/Datasets/reds)"
    )


def _faults(clips: Mapping[str, Path]) -> str:
    """Describe missing and incomplete clips; return an empty string if there are none."""
    expected = {f"{frame:08d}.png" for frame in range(FRAMES)}
    missing = [name for name, clip in clips.items() if not clip.is_dir()]
    frames = {name: expected & set(os.listdir(clip)) for name, clip in clips.items() if name not in missing}
    short = [
        f"{name} has {len(found)} of {FRAMES}, not {min(expected - found)}"
        for name, found in frames.items()
        if found != expected
    ]
    faults = [f"{len(missing)} of {len(clips)} clips ({_some(missing)})"] if missing else []
    if short:
        faults.append(f"frames of {len(short)} of {len(clips)} clips ({_some(short)})")
    return " and ".join(faults)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")

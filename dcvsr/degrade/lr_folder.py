"""Folder of an LR set: manifest.json, and a folder of frames for each of its clips."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dcvsr.degrade.manifest import Entry, Manifest, read
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.locks import lock
from dcvsr.video.frame_folder import frame_paths

PREVIEW = "preview.png"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Create the folder of a set if it is missing, and lock it against other processes.

    Raises:
        UserError: if the folder cannot be created, or another process has locked it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"cannot make {folder} ({error.strerror}); name another output") from error
    try:
        lock(handle, f"{folder} is being written by another process; wait for it")
        yield
    finally:
        os.close(handle)


def manifest_path(folder: Path) -> Path:
    """Return the path of a set's manifest."""
    return folder / "manifest.json"


def read_set(folder: Path) -> Manifest | None:
    """Return the manifest of the set in a folder; None if the folder is missing or empty.

    Raises:
        UserError: if the path is not a folder, or holds files but no set, or clips that are not in the set.
    """
    if not folder.exists():
        return None
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; name another output")
    # `write_whole` leaves a .part file if it is killed.
    visible = [
        path
        for path in sorted(folder.iterdir())
        if path.name[0] != "." and path.name != PREVIEW and (path.suffix != ".part" or path.is_dir())
    ]
    if not visible:
        return None
    if not manifest_path(folder).exists():
        raise UserError(f"{folder} holds {visible[0].name} but is not an LR set; name another output")
    manifest = read(manifest_path(folder))
    unknown = [path.name for path in visible if path.is_dir() and path.name not in manifest.clips]
    if unknown:
        raise UserError(
            f"{folder} holds {', '.join(unknown)}, not listed in its manifest.json; name another output, or "
            "move them out"
        )
    return manifest


def is_complete(folder: Path, name: str, entry: Entry) -> bool:
    """Return True if all frames of a clip exist."""
    try:
        return len(frame_paths(folder / name)) == entry.frames
    except (OSError, UserError):
        return False


def finished(folder: Path, manifest: Manifest | None) -> set[str]:
    """Return the names of the clips of a set whose frames all exist."""
    clips = manifest.clips if manifest else {}
    return {name for name, entry in clips.items() if is_complete(folder, name, entry)}


def part_folder(folder: Path, name: str) -> Path:
    """Return the folder into which a clip is written before it is moved into place."""
    return folder / f".{name}.part"


def add(folder: Path, manifest: Manifest, name: str, entry: Entry) -> Manifest:
    """Move a finished clip into place and return the manifest with it.

    The manifest is written first, so it lists every clip folder. A listed clip without folder is made again.

    Raises:
        UserError: if the clip was made again and differs from the manifest.
    """
    known = manifest.clips.get(name)
    if known is not None and known.lr_sha256 not in (None, entry.lr_sha256):
        shutil.rmtree(part_folder(folder, name))
        raise UserError(
            f"clip {name} was made again and differs from {manifest_path(folder)}; use the original HR, or "
            "name another output"
        )
    manifest = manifest.with_clip(name, entry)
    manifest.write(manifest_path(folder))
    shutil.rmtree(folder / name, ignore_errors=True)
    part_folder(folder, name).replace(folder / name)
    return manifest

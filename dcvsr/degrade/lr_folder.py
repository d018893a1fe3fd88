"""An LR set on disk: manifest.json, and a folder of frames for each clip it names."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dcvsr.degrade.manifest import Entry, Manifest, read
from dcvsr.runtime.errors import UserError
from dcvsr.video.frame_folder import frame_paths

PREVIEW = "preview.png"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make the folder of a set, if need be, and keep other processes from it.

    Raises:
        UserError: if it cannot be made, or another process holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"cannot make {folder} ({error.strerror}); name another output") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{folder} is being written by another process; wait for it") from error
        yield
    finally:
        os.close(handle)


def manifest_path(folder: Path) -> Path:
    return folder / "manifest.json"


def begun(folder: Path) -> Manifest | None:
    """The set that was begun in a folder; None where nothing was.

    Raises:
        UserError: if it is no folder, or holds what is of no set.
    """
    if not folder.exists():
        return None
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; name another output")
    # `write_whole` leaves a .part where it is killed.
    visible = [
        path
        for path in sorted(folder.iterdir())
        if path.name[0] != "." and path.name != PREVIEW and (path.suffix != ".part" or path.is_dir())
    ]
    if not visible:
        return None
    if not manifest_path(folder).exists():
        raise UserError(f"{folder} holds {visible[0].name}, and no LR set; name another output")
    manifest = read(manifest_path(folder))
    strangers = [path.name for path in visible if path.is_dir() and path.name not in manifest.clips]
    if strangers:
        raise UserError(
            f"{folder} holds {', '.join(strangers)}, of which its manifest.json does not know; "
            "name another output, or move them out"
        )
    return manifest


def is_whole(folder: Path, name: str, entry: Entry) -> bool:
    """Whether all frames of a clip are there."""
    try:
        return len(frame_paths(folder / name)) == entry.frames
    except (OSError, UserError):
        return False


def unfinished(folder: Path, name: str) -> Path:
    """Where a clip is made, before it takes its place."""
    return folder / f".{name}.part"


def add(folder: Path, manifest: Manifest, name: str, entry: Entry) -> Manifest:
    """Put a clip in its place.

    The manifest comes first: no folder is ever there that it does not know of, and a clip that it knows of
    but whose folder is not there is made again.

    Raises:
        UserError: if the clip, made again, is not what the manifest says.
    """
    known = manifest.clips.get(name)
    if known is not None and known.lr_sha256 not in (None, entry.lr_sha256):
        shutil.rmtree(unfinished(folder, name))
        raise UserError(
            f"clip {name}, made again, is not what {manifest_path(folder)} says; give HR as it was, or name "
            "another output"
        )
    manifest = manifest.with_clip(name, entry)
    manifest.write(manifest_path(folder))
    shutil.rmtree(folder / name, ignore_errors=True)
    unfinished(folder, name).replace(folder / name)
    return manifest

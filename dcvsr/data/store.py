"""Decoded videos on disk for random access: one ``.npy`` of uint8 ``f c h w`` per file content."""

from pathlib import Path
from uuid import uuid4

import numpy as np

from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import file_sha256
from dcvsr.video.io import read_video


def frame_store(path: Path, cache: Path) -> Path:
    """Return the path of a video file's store in ``cache``; create it on first use.

    Its name is a hash of the file's content, so a changed file never uses an old store. The store is written
    atomically; of two processes that create it at once, the later one replaces it with the same bytes.

    Raises:
        UserError: if the file cannot be read or ``cache`` cannot be written.
    """
    if not path.is_file():
        raise UserError(f"{path} is not a file; name a video file")
    store = cache / f"{file_sha256(path)}-{path.stat().st_size}.npy"
    if not store.exists():
        _write(store, read_video(path).frames.numpy())
    return store


def _write(store: Path, frames: np.ndarray) -> None:
    unfinished = store.with_suffix(f".{uuid4().hex}")
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            np.save(file, frames)
        unfinished.replace(store)
    except OSError as error:
        reason = f"cannot store decoded frames in {store.parent} ({error.strerror})"
        raise UserError(f"{reason}; name another folder, runs=FOLDER") from error
    finally:
        if unfinished.exists():
            unfinished.unlink()

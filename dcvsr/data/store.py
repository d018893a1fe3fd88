"""Decoded videos on disk, for reading at random: one ``.npy`` of uint8 ``f c h w`` per content."""

from pathlib import Path
from uuid import uuid4

import numpy as np

from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import file_sha256
from dcvsr.video.io import read_video


def frame_store(path: Path, cache: Path) -> Path:
    """The store of a video file in ``cache``, made on first use.

    It is named by the file's content, so that a changed file never meets an old store. It appears whole or
    not at all; of two processes that make it at once, the later one puts the same bytes in its place.

    Raises:
        UserError: if the file cannot be read or ``cache`` cannot be written.
    """
    if not path.is_file():
        raise UserError(f"{path} is no file; name a video")
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
        reason = f"{store.parent} cannot hold decoded frames ({error.strerror})"
        raise UserError(f"{reason}; name another folder") from error
    finally:
        if unfinished.exists():
            unfinished.unlink()

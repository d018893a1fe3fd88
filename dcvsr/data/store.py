"""Decoded videos on disk for random access: one ``.npy`` of uint8 ``f c h w`` per file content."""

from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import numpy as np

from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import file_sha256
from dcvsr.video.reader import open_frames


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
        _write(path, store)
    return store


def _write(path: Path, store: Path) -> None:
    """Decode a video file into ``store``, one frame at a time."""
    unfinished = store.with_suffix(f".{uuid4().hex}")
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        with open_frames(path) as reader, unfinished.open("wb") as file:
            # numpy pads the header so that the length of the first axis can be corrected in place.
            _write_header(file, 0, *reader.shape)
            count = 0
            for frame in reader:
                file.write(frame.numpy().data)
                count += 1
            file.seek(0)
            _write_header(file, count, *reader.shape)
        unfinished.replace(store)
    except OSError as error:
        reason = f"cannot store decoded frames in {store.parent} ({error.strerror})"
        raise UserError(f"{reason}; name another folder, runs=FOLDER") from error
    finally:
        if unfinished.exists():
            unfinished.unlink()


def _write_header(file: BinaryIO, frames: int, height: int, width: int) -> None:
    shape = (frames, 3, height, width)
    header = {"descr": np.dtype(np.uint8).str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)

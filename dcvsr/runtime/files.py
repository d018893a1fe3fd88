"""Reading of small files with one-line errors, and atomic writing."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from dcvsr.runtime.errors import UserError


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_text(path: Path) -> str:
    """Read a text file.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; give a file of a finished run") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text") from error


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: if it cannot be read or is not JSON.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not JSON: {error}") from error


def require_short_names(paths: Iterable[Path], way_out: str = "give a shorter output=") -> None:
    """Check that files of these names can be written, by `write_whole` too.

    Args:
        paths: the files.
        way_out: what the user may do where a name is too long.

    Raises:
        UserError: naming the first whose name is too long for its file system.
    """
    for path in paths:
        try:
            most = os.pathconf(path.parent, "PC_NAME_MAX")
        except OSError:  # no such folder
            most = 255
        if len(os.fsencode(_partial(path).name)) > most:
            raise UserError(f"the name {path.name} is too long for {path.parent}; {way_out}")


def free_space(folder: Path) -> int:
    """Return the free bytes where ``folder`` is, or will be made."""
    there = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.is_dir())
    return shutil.disk_usage(there).free


def require_space(
    folder: Path, needed: int, what: str, way_out: str = "name an output= on another disk"
) -> None:
    """Check that ``folder`` has room for ``needed`` bytes of ``what``.

    Raises:
        UserError: if it has not.
    """
    free = free_space(folder)
    if needed > free:
        raise UserError(
            f"{folder} has {size_text(free)} free, and {what} takes {size_text(needed)}: free disk space, or "
            f"{way_out}"
        )


def size_text(size: float) -> str:
    """Return a number of bytes as text, such as ``2.3 GB``."""
    units = {"TB": 1e12, "GB": 1e9, "MB": 1e6}
    unit = next((unit for unit, bytes in units.items() if size >= bytes), "kB")
    return f"{size / units.get(unit, 1e3):.1f} {unit}"


@contextmanager
def whole_file(path: Path, way_out: str) -> Iterator[BinaryIO]:
    """Yield a file to write into, which replaces ``path`` at the end of the block; else it is unchanged.

    Raises:
        UserError: if it cannot be written; the message ends with ``way_out``.
    """
    partial = _partial(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink()
        cause = error.__context__ if isinstance(error, RuntimeError) else error  # torch.save hides an OSError
        if not isinstance(cause, OSError):
            raise
        raise UserError(f"cannot write {path}: {cause.strerror}; {way_out}") from error


def write_whole(path: Path, content: str | bytes, way_out: str = "give another output=") -> None:
    """Write ``path`` as a whole or leave it unchanged.

    Raises:
        UserError: if it cannot be written; the message ends with ``way_out``.
    """
    if isinstance(content, str):
        content = content.encode(errors="replace")  # file names need not be UTF-8
    with whole_file(path, way_out) as file:
        file.write(content)


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.name}.{os.getpid()}.part")

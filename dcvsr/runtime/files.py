"""Small files, read with errors that name them and written whole or not at all."""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from dcvsr.runtime.errors import UserError


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_text(path: Path) -> str:
    """A text file.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror}; name what a finished run left behind"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no UTF-8 text") from error


def read_json(path: Path) -> Any:
    """A JSON file's content.

    Raises:
        UserError: it cannot be read, or holds no JSON.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise UserError(f"{path} holds no JSON: {error}") from error


def write_whole(path: Path, content: str | bytes) -> None:
    """Write ``path`` or leave it as it was.

    Raises:
        UserError: it cannot be written there.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            content = content.encode(errors="replace")  # names of files may be no UTF-8
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise UserError(f"cannot write {path}: {error.strerror}; name another with output=") from error

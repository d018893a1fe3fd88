"""Search path of weight files, and the check of their SHA-256.

Importing this module does not import torch.
"""

import os
from pathlib import Path

from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import file_sha256

VARIABLE = "DCVSR_WEIGHTS"
"""Environment variable that names a folder of weight files."""


def search_folders() -> list[Path]:
    """Return the folders searched for weights: ``DCVSR_WEIGHTS`` if set, then torch hub's cache.

    Downloads go into the last one. ``TORCH_HOME`` moves torch hub's cache.
    """
    import torch

    configured = os.environ.get(VARIABLE)
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    return [*([Path(configured).expanduser()] if configured else []), cache]


def not_found(name: str) -> str:
    """Return the beginning of an error line: ``name`` is in none of `search_folders`."""
    configured, cache = os.environ.get(VARIABLE) or "unset", search_folders()[-1]
    return f"{name} is neither in {VARIABLE} ({configured}) nor in {cache}"


def verify(path: Path, digest: str) -> None:
    """Compare a file with the first digits of its published SHA-256.

    Raises:
        UserError: if they differ.
    """
    if not (found := file_sha256(path)).startswith(digest):
        raise UserError(f"{path}: expected SHA-256 {digest}, found {found}; remove the file")

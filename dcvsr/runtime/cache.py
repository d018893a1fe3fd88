"""On-disk cache for tensors shared between runs, keyed by content hash."""

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import write_whole
from dcvsr.runtime.hashing import digest, software

log = logging.getLogger(__name__)

SUFFIX = ".cache.safetensors"
"""Suffix of cache files; only files with it are removed."""

Make = Callable[[], Tensor]


@dataclass(frozen=True)
class NoCache:
    """Cache that stores nothing."""

    def __call__(self, name: str, parts: Mapping[str, object], make: Make) -> Tensor:
        """Return the result of ``make``."""
        return make().contiguous()


class Cache:
    """Cache in a folder that several runs may share at the same time.

    Stored and computed tensors are identical: contiguous, with the alignment of new tensors. ``is_writable``
    and ``unseen``, the bytes written since the last check of the limit, are written only by ``_store``.

    Args:
        folder: folder of the files.
        limit_gb: size limit, kept to about one per cent; the least recently used files are removed.
    """

    def __init__(self, folder: Path | str, limit_gb: float) -> None:
        if not limit_gb > 0:
            raise ValueError(f"limit_gb must be above 0, got {limit_gb}; cache=none keeps nothing")
        self.folder, self.limit = Path(folder), 1e9 * limit_gb
        self.is_writable, self.unseen = True, self.limit

    def __call__(self, name: str, parts: Mapping[str, object], make: Make) -> Tensor:
        """Return the stored tensor of ``parts`` on the CPU, or the result of ``make``, which is then stored.

        ``parts`` must contain everything that determines the result except this package's code.
        """
        about = digest({"name": name, "parts": parts, "software": software()})
        path = self.folder / f"{name}-{about}{SUFFIX}"
        if (stored := _stored(path)) is not None:
            return stored
        made = make().contiguous()
        if self.is_writable:
            self._store(path, made)
        return made

    def _store(self, path: Path, made: Tensor) -> None:
        content = save({"tensor": made.cpu()}, {"digest": digest(made)})
        try:
            write_whole(path, content)
        except UserError as error:
            self.is_writable = False
            log.warning(f"cannot write to the cache {self.folder}, continuing without it: {error.__cause__}")
            return
        self.unseen += len(content)
        if self.unseen > self.limit / 100:
            self.unseen = 0
            self._make_room()

    def _make_room(self) -> None:
        files = []
        for path in self.folder.glob(f"*{SUFFIX}*"):  # including partial files of killed runs
            with suppress(OSError):  # another run has removed it
                files.append((path.stat().st_mtime_ns, path.stat().st_size, path))
        excess = sum(size for _, size, _ in files) - self.limit
        for _, size, path in sorted(files):
            if excess <= 0:
                break
            with suppress(OSError):
                path.unlink()
            excess -= size


def _stored(path: Path) -> Tensor | None:
    """Return a file's tensor; None if the file is missing or damaged."""
    try:
        with safe_open(path, "pt") as file:
            stored = file.get_tensor("tensor").clone()  # memory-mapped tensors are not aligned
            if file.metadata()["digest"] != digest(stored):
                raise ValueError("its content does not match its hash")
    except FileNotFoundError:
        return None
    except Exception as error:  # safetensors raises many types
        log.warning(f"{path} is damaged ({error}) and will be recomputed")
        return None
    with suppress(OSError):  # a read-only folder is enough
        os.utime(path)
    return stored

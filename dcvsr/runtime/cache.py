"""What one run made and another need not make again: tensors in files, found by what they are made of."""

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
"""No other files are removed, whatever folder is named."""

Make = Callable[[], Tensor]


@dataclass(frozen=True)
class NoCache:
    """Makes everything anew."""

    def __call__(self, name: str, parts: Mapping[str, object], make: Make) -> Tensor:
        return make().contiguous()


class Cache:
    """A folder that runs share, also at the same time.

    The bits of what it gives do not depend on whether it was stored: it is contiguous, and aligned as new
    tensors are. Its state, which ``_store`` alone writes, is whether the folder takes files, and the bytes
    written since it was last looked through.

    Args:
        limit_gb: beyond it, files that were not used for longest are removed, to about one per cent.
    """

    def __init__(self, folder: Path | str, limit_gb: float) -> None:
        if not limit_gb > 0:
            raise ValueError(f"limit_gb must be above 0, got {limit_gb}; cache=none keeps nothing")
        self.folder, self.limit = Path(folder), 1e9 * limit_gb
        self.is_writable, self.unseen = True, self.limit

    def __call__(self, name: str, parts: Mapping[str, object], make: Make) -> Tensor:
        """What ``make`` makes of ``parts``, on the CPU if it was made before.

        ``parts`` are all that decides it, as `dcvsr.runtime.hashing` reads them, beside this package's code.
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
            log.warning(f"going on without a cache, {self.folder} takes no more: {error.__cause__}")
            return
        self.unseen += len(content)
        if self.unseen > self.limit / 100:
            self.unseen = 0
            self._make_room()

    def _make_room(self) -> None:
        files = []
        for path in self.folder.glob(f"*{SUFFIX}*"):  # with what a run that was killed left half written
            with suppress(OSError):  # another run was faster
                files.append((path.stat().st_mtime_ns, path.stat().st_size, path))
        excess = sum(size for _, size, _ in files) - self.limit
        for _, size, path in sorted(files):
            if excess <= 0:
                break
            with suppress(OSError):
                path.unlink()
            excess -= size


def _stored(path: Path) -> Tensor | None:
    """A file's tensor; None if there is none, or it is damaged."""
    try:
        with safe_open(path, "pt") as file:
            stored = file.get_tensor("tensor").clone()  # what lies in the file's own pages is not aligned
            if file.metadata()["digest"] != digest(stored):
                raise ValueError("its content is not what was written")
    except FileNotFoundError:
        return None
    except Exception as error:  # safetensors says 'damaged' with many types
        log.warning(f"{path} is damaged ({error}); it is made anew")
        return None
    with suppress(OSError):  # a folder that may only be read serves as well
        os.utime(path)
    return stored

"""Clips: sources of frames with random access, without decoding from the start.

Axes: f frames, c colours, h w pixels.
"""

import hashlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from dcvsr.data.shots import OneShot, Shots
from dcvsr.data.store import frame_store
from dcvsr.runtime.errors import UserError
from dcvsr.video.decoder import header_rate
from dcvsr.video.frame_folder import frame_paths, frame_size, read_frame

ALL = slice(None)
ONE_SHOT = OneShot()


class Clip(Protocol):
    """Frames with random access."""

    @property
    def name(self) -> str:
        """Name in errors, tables and file names."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        ...

    @property
    def shots(self) -> Sequence[range]:
        """Frames of each shot, in order."""
        ...

    @property
    def rate(self) -> Fraction | None:
        """Frames per second; None if the clip does not record it."""
        ...

    def __len__(self) -> int:
        """Return the number of frames."""
        ...

    def read(self, start: int, count: int, rows: slice = ALL, columns: slice = ALL) -> Tensor:
        """Return frames ``start`` to ``start + count - 1``, or a part of each: uint8 ``count c h w``.

        Raises:
            ValueError: if the clip ends before them.
        """
        ...


def require_frames(clip: Clip, start: int, count: int) -> None:
    """Raise ValueError unless ``clip`` has frames ``start`` to ``start + count - 1``."""
    if not (count > 0 and 0 <= start <= len(clip) - count):
        raise ValueError(f"{clip.name} has {len(clip)} frames, not {count} from frame {start} on")


class VideoClip:
    """A video file's frames ``start`` to ``stop - 1`` (None: all), decoded once into a store in ``cache``.

    Raises:
        UserError: if the file cannot be read or decoded to its end, or the range contains no frame.
    """

    def __init__(
        self,
        path: Path | str,
        cache: Path | str,
        start: int | None = None,
        stop: int | None = None,
        shots: Shots = ONE_SHOT,
    ) -> None:
        self.name = Path(path).stem
        self._path = Path(path)
        self._store = frame_store(Path(path), Path(cache))
        frames, _, height, width = np.load(self._store, mmap_mode="r").shape
        self.size = (height, width)
        self._indices = _selected(path, range(frames), start, stop)
        self._shots = shots

    def __len__(self) -> int:
        return len(self._indices)

    @property
    def rate(self) -> Fraction:
        """Frames per second by the file's header."""
        return header_rate(self._path)

    @property
    def digest(self) -> str:
        """Hash of the file's content, with the range of frames."""
        return f"{self._store.stem}-{self._indices.start}-{self._indices.stop}"

    @property
    def shots(self) -> Sequence[range]:
        """Frames of each shot, in order."""
        return self._shots(self)

    def read(self, start: int, count: int, rows: slice = ALL, columns: slice = ALL) -> Tensor:
        """Return a range of frames, or a part of each: uint8 ``count c h w``."""
        require_frames(self, start, count)
        first = self._indices[start]
        frames = np.load(self._store, mmap_mode="r")
        return torch.from_numpy(frames[first : first + count, :, rows, columns].copy())


class FrameFolder:
    """A folder's images ``start`` to ``stop - 1`` (None: all), in natural order.

    Raises:
        UserError: if the folder is missing, has no frame in the range or frames of two sizes, or if a header
            shows that a file is not an image or is truncated. `read` raises for other damage.
    """

    def __init__(
        self,
        path: Path | str,
        start: int | None = None,
        stop: int | None = None,
        shots: Shots = ONE_SHOT,
    ) -> None:
        if not Path(path).is_dir():
            raise UserError(f"{path}: no such folder; name a folder of frames")
        self.name = Path(path).name
        paths = frame_paths(Path(path))
        self._paths = [paths[index] for index in _selected(path, range(len(paths)), start, stop)]
        self.size = _common_size(self._paths)
        self.rate = None
        self._shots = shots

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def digest(self) -> str:
        """Hash of the files' names, sizes and modification times; their content is not read."""
        files = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in self._paths]
        return hashlib.sha256(repr(files).encode()).hexdigest()

    @property
    def shots(self) -> Sequence[range]:
        """Frames of each shot, in order."""
        return self._shots(self)

    def read(self, start: int, count: int, rows: slice = ALL, columns: slice = ALL) -> Tensor:
        """Return a range of frames, or a part of each: uint8 ``count c h w``.

        Raises:
            UserError: if a frame cannot be read.
        """
        require_frames(self, start, count)
        return torch.stack([self._frame(path)[:, rows, columns] for path in self._paths[start:][:count]])

    def _frame(self, path: Path) -> Tensor:
        frame = read_frame(path)
        _, *size = frame.shape
        if tuple(size) != self.size:  # EXIF rotation swaps the sides; the header does not show it
            height, width = self.size
            raise UserError(
                f"{path} is {size[1]}x{size[0]}, the others are {width}x{height}; make them one size"
            )
        return frame


def _selected(path: Path | str, indices: range, start: int | None, stop: int | None) -> range:
    selected = indices[start:stop]
    if not selected:
        raise UserError(f"{path} has {len(indices)} frames, none from {start} to {stop}; widen the range")
    return selected


def _common_size(paths: list[Path]) -> tuple[int, int]:
    """Return the height and width of all images, which their headers give without decoding."""
    sizes: dict[tuple[int, int], str] = {}
    for path in paths:
        sizes.setdefault(frame_size(path), path.name)
    if len(sizes) > 1:
        found = ", ".join(f"{name} is {width}x{height}" for (height, width), name in sizes.items())
        raise UserError(f"{paths[0].parent} holds frames of two sizes: {found}; make them one size")
    _, height, width = read_frame(paths[0]).shape
    return height, width

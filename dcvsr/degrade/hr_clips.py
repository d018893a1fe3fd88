"""HR clips of an LR set: frame folders are read frame by frame, video files whole.

Axes: f frames, c colours, h w pixels.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from dcvsr.data.clips import FrameFolder
from dcvsr.data.folders import is_video
from dcvsr.runtime.errors import UserError
from dcvsr.video.decoder import header_shape
from dcvsr.video.frame_folder import SUFFIXES, frame_paths
from dcvsr.video.io import read_video
from dcvsr.video.skipped_files import warn_of_skipped

Shape = tuple[int, int, int, int]
"""f c h w."""

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class OpenClip:
    """A clip that is open for reading.

    Args:
        names: names of the frames, without suffix.
        shape: f c h w.
        read: maps a frame index to the frame, uint8 ``c h w``.
    """

    names: tuple[str, ...]
    shape: Shape
    read: Callable[[int], Tensor]

    def __iter__(self) -> Iterator[Tensor]:
        return map(self.read, range(len(self.names)))


@dataclass(frozen=True)
class VideoFile:
    """A video file, decoded whole into uint8."""

    path: Path
    name: str

    @cached_property
    def shape(self) -> Shape:
        """Shape by the file's header; the number of frames is approximate."""
        frames, height, width = header_shape(self.path)
        return frames, 3, height, width

    def open(self) -> OpenClip:
        """Decode the video; raise UserError if that fails."""
        video = read_video(self.path).frames
        frames, _, height, width = video.shape
        names = tuple(f"{index:08d}" for index in range(frames))
        return OpenClip(names, (frames, 3, height, width), video.__getitem__)


@dataclass(frozen=True)
class ImageFolder:
    """A folder of frames, read one at a time."""

    path: Path
    name: str

    @cached_property
    def shape(self) -> Shape:
        """Shape by the headers of the images."""
        folder = FrameFolder(self.path)
        return len(folder), 3, *folder.size

    def open(self) -> OpenClip:
        """Open the folder; raise UserError if frames differ in size."""
        names = tuple(path.stem for path in frame_paths(self.path))
        return OpenClip(names, self.shape, partial(_frame, FrameFolder(self.path)))


Source = VideoFile | ImageFolder


def sources_in(path: Path) -> dict[str, Source]:
    """Return the clips of a folder by name, in order; a video file or a folder of frames is one clip.

    Raises:
        UserError: if the path is missing or holds no clips, two clips share a name, or a name is not UTF-8.
    """
    if path.is_file():
        return {path.stem: VideoFile(path, path.stem)}
    if not path.is_dir():
        raise UserError(f"{path} does not exist; name a video, a folder of frames, or a folder of clips")
    visible = sorted(child for child in path.iterdir() if child.name[0] != ".")
    found: list[Source] = [
        ImageFolder(_frames_of(child), child.name) if child.is_dir() else VideoFile(child, child.stem)
        for child in visible
        if child.is_dir() or is_video(child)
    ]
    if not found and any(child.suffix.lower() in SUFFIXES for child in visible):
        found = [ImageFolder(path, path.resolve().name)]
    else:
        warn_of_skipped(path, [child for child in visible if not child.is_dir() and not is_video(child)])
    sources: dict[str, Source] = {}
    for source in found:
        if any("\ud800" <= letter <= "\udfff" for letter in source.name):
            raise UserError(f"the name of {source.path} is not UTF-8, as manifest.json requires; rename it")
        if (other := sources.setdefault(source.name, source)) is not source:
            raise UserError(f"{other.path} and {source.path} have the same clip name; rename one")
    if not sources:
        raise UserError(f"{path} holds no clips; name a folder of videos, or of folders of frames")
    return sources


def select_clips(
    clips: Mapping[str, T], where: Path, include: Collection[str] | None, exclude: Collection[str]
) -> dict[str, T]:
    """Return the selected clips, in the order of ``clips``.

    Args:
        clips: clips by name.
        where: their folder or manifest, for messages.
        include: names to select; None for all.
        exclude: names to leave out.

    Raises:
        UserError: if a name is not in ``clips``, or no clip is left.
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
    """Raise UserError, naming all clips whose sides are not multiples of ``factor``, if there are any."""
    odd = {}
    for name, source in sources.items():
        *_, height, width = source.shape
        if height % factor or width % factor:
            odd[name] = f"{width}x{height}"
    if odd:
        sizes = ", ".join(f"{name} ({size})" for name, size in odd.items())
        raise UserError(
            f"sides must be multiples of {factor}, and those of {sizes} are not; crop them, or leave them "
            f"out: 'exclude=[{','.join(odd)}]'"
        )


def _frames_of(clip: Path) -> Path:
    """Return the folder of HR frames: ``<clip>/truth`` as in UDM10, which has LR too, else the clip."""
    return clip / "truth" if (clip / "truth").is_dir() else clip


def _frame(folder: FrameFolder, index: int) -> Tensor:
    return folder.read(index, 1)[0]

"""Folders of clips: each subfolder of frames and each video file is a clip."""

from collections.abc import Collection, Mapping
from pathlib import Path

from dcvsr.data.clips import ONE_SHOT, Clip, FrameFolder, VideoClip
from dcvsr.data.shots import Shots
from dcvsr.runtime.errors import UserError
from dcvsr.video.skipped_files import warn_of_skipped

VIDEOS = {
    *(
        ".mp4",
        ".m4v",
        ".mov",
        ".qt",
        ".f4v",
        ".3gp",
        ".3g2",
        ".mkv",
        ".webm",
        ".avi",
        ".divx",
        ".wmv",
        ".asf",
    ),
    *(".mpg", ".mpeg", ".mpe", ".m1v", ".m2v", ".vob", ".mod", ".tod", ".ts", ".mts", ".m2ts", ".m2t"),
    *(".flv", ".swf", ".ogv", ".ogm", ".mxf", ".dv", ".wtv", ".rm", ".rmvb", ".nut", ".ivf", ".obu", ".y4m"),
    *(".gif", ".apng", ".h264", ".264", ".h265", ".265", ".hevc", ".mjpeg", ".mjpg"),
}
"""Suffixes of videos in folders, in lower case; a file that is named itself may have any."""


def is_video(path: Path) -> bool:
    """Tell whether a file of a folder is a video, by its suffix."""
    return path.suffix.lower() in VIDEOS


def folder_of_clips(
    path: Path | str,
    cache: Path | str,
    include: Collection[str] | None = None,
    exclude: Collection[str] = (),
    shots: Shots = ONE_SHOT,
) -> dict[str, Clip]:
    """Return every subfolder of frames and every video file of a folder as a clip, by name.

    Args:
        path: the folder.
        cache: folder for the stores of videos.
        include: names to use; None for all.
        exclude: names to leave out.
        shots: finds the shots of a clip.

    Raises:
        UserError: if the folder or a clip to include is missing, if no clip is left, or if two share a name.
    """
    if not Path(path).is_dir():
        raise UserError(f"{path}: no such folder; name one of videos, or of folders of frames")
    sources: dict[str, Path] = {}
    visible = [source for source in sorted(Path(path).iterdir()) if source.name[0] != "."]
    for source in visible:
        if source.is_dir() or is_video(source):
            name = source.name if source.is_dir() else source.stem
            if name in sources:
                raise UserError(f"{path} holds two clips named {name}; rename one")
            sources[name] = source
    if include is None:  # else the same folder was or is read whole, or others are left out on purpose
        warn_of_skipped(Path(path), [source for source in visible if source not in sources.values()])
    for name in include or ():
        if name not in sources:
            raise UserError(f"{path} holds no clip {name}; it has {', '.join(sources) or 'none'}")
    names = [name for name in sources if (include is None or name in include) and name not in exclude]
    if sources and not names:
        raise UserError(
            f"{path} holds {', '.join(sources)}, and none is selected: name some clips for validation with "
            "data.held_out=[...], and leave others for training"
        )
    if not names:
        raise UserError(f"{path} holds no clips to use; name a folder of videos, or of folders of frames")
    return {name: _clip(sources[name], cache, shots) for name in names}


def frame_folders(folders: Mapping[str, Path], shots: Shots = ONE_SHOT) -> dict[str, Clip]:
    """Return folders of frames as clips, by name."""
    return {name: FrameFolder(folder, shots=shots) for name, folder in folders.items()}


def _clip(source: Path, cache: Path | str, shots: Shots) -> Clip:
    return FrameFolder(source, shots=shots) if source.is_dir() else VideoClip(source, cache, shots=shots)

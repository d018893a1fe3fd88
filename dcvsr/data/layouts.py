"""Folder layouts of the UDM10 and VideoLQ test sets; imports no slow packages, as runs start with it."""

from pathlib import Path

from dcvsr.runtime.errors import UserError

UDM10_CLIPS = 10
VIDEOLQ_CLIPS = 50


def require_udm10(path: str) -> None:
    """Raise UserError unless ``path`` holds UDM10's clips (spec 5.4), all of one length."""
    clips = udm10(path)
    if len(clips) != UDM10_CLIPS:
        raise UserError(
            f"UDM10 at {path} has {_listed(clips)} of {UDM10_CLIPS} clips: give data.path=FOLDER that holds "
            "<clip>/truth/*.png, or GT/<clip>/*.png"
        )
    frames = {name: _count_images(clip) for name, clip in clips.items()}
    longest = max(frames.values())
    if short := [f"{name} ({count})" for name, count in frames.items() if count < longest or not count]:
        raise UserError(
            f"UDM10 at {path} has clips with fewer than {longest} frames: {', '.join(short)}; unpack it again"
        )


def udm10(path: str) -> dict[str, Path]:
    """Return the folder of HR frames of each clip, in either layout."""
    if Path(path, "GT").is_dir():
        return {clip.name: clip for clip in _folders(Path(path, "GT"))}
    return {clip.name: clip / "truth" for clip in _folders(Path(path)) if (clip / "truth").is_dir()}


def require_videolq(path: str) -> None:
    """Raise UserError unless ``path`` holds VideoLQ's clips (spec 5.5); their lengths differ."""
    clips = {clip.name: clip for clip in _folders(Path(path))}
    if len(clips) != VIDEOLQ_CLIPS:
        raise UserError(
            f"VideoLQ at {path} has {_listed(clips)} of {VIDEOLQ_CLIPS} clips: give data.path=FOLDER that "
            "holds 000/00000000.png to 049/"
        )
    if empty := [name for name, clip in clips.items() if not _count_images(clip)]:
        raise UserError(f"VideoLQ at {path} has clips without frames: {', '.join(empty)}; unpack it again")


def _folders(path: Path) -> list[Path]:
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; give data.path=FOLDER")
    return sorted(child for child in path.iterdir() if child.is_dir() and child.name[0] != ".")


def _count_images(folder: Path) -> int:
    return sum(child.suffix.lower() == ".png" and child.name[0] != "." for child in folder.iterdir())


def _listed(clips: dict[str, Path]) -> str:
    some = ", ".join(list(clips)[:3]) + (", ..." if len(clips) > 3 else "")
    return f"{len(clips)} ({some})" if clips else "none"

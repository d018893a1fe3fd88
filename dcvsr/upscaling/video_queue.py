"""Upscaling of a folder of videos, one after the other."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dcvsr.data.folders import is_video
from dcvsr.runtime.errors import UserError
from dcvsr.video.container import CONTAINERS
from dcvsr.video.frame_folder import SUFFIXES
from dcvsr.video.skipped_files import warn_of_skipped

log = logging.getLogger(__name__)

Overwrite = Literal["auto", "never", "always", "newer"]
"""Treatment of outputs that exist; ``newer`` replaces them if the input is newer, ``auto`` is ``never`` for a
folder of videos and ``always`` for one video."""


@dataclass(frozen=True)
class QueuedVideo:
    """A video of the folder, and its output."""

    source: Path
    output: Path


def is_queue(source: Path) -> bool:
    """Return True for a folder that holds videos, or folders of frames, and no images."""
    if not source.is_dir():
        return False
    found = [path for path in source.iterdir() if path.name[0] != "."]
    return not any(map(_is_image, found)) and any(map(_is_video, found))


def queued_videos(folder: Path, output: Path) -> list[QueuedVideo]:
    """Return the videos and folders of frames of a folder, in the order of their names, with their outputs.

    A video keeps the suffix ``.mp4``, ``.mkv`` or ``.mov``, else it becomes ``.mkv``, which holds all tracks
    and codecs; WebM holds AV1 only. Frames become a folder of PNGs. Other files are named in a warning.

    Raises:
        UserError: if ``output`` cannot be a folder, is ``folder``, or two videos would have one output.
    """
    if output.suffix.lower() in CONTAINERS or output.is_file():
        raise UserError(f"{folder} is a folder of videos, so output={output} must name a folder")
    if output.resolve() == folder.resolve():
        raise UserError(f"output={output} is the input's folder; name another one")
    found = [path for path in sorted(folder.iterdir()) if path.name[0] != "."]
    warn_of_skipped(folder, [path for path in found if not _is_video(path)])
    queue, sources = list[QueuedVideo](), dict[Path, Path]()
    for source in filter(_is_video, found):
        keeps = source.is_dir() or source.suffix.lower() in CONTAINERS.keys() - {".webm"}
        name = source.name if keeps else f"{source.stem}.mkv"
        if (other := sources.setdefault(output / name, source)) != source:
            raise UserError(f"{other} and {source} would both become {output / name}; rename one")
        queue.append(QueuedVideo(source, output / name))
    return queue


def is_up_to_date(source: Path, output: Path, overwrite: Overwrite) -> bool:
    """Return True if ``output`` exists and stays as it is."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return False
    if overwrite == "newer":
        return _changed(source) <= _changed(output)
    return overwrite == "never"


def upscale_all(queue: Sequence[QueuedVideo], upscale: Callable[[QueuedVideo], str]) -> None:
    """Upscale videos one after the other; report and skip those that fail, and print a table at the end.

    Args:
        queue: the videos.
        upscale: upscales one and returns what was done.

    Raises:
        UserError: at the end, if any failed.
    """
    outcomes, failed = list[tuple[str, str]](), list[str]()
    for number, video in enumerate(queue, 1):
        log.info(f"{number} of {len(queue)}: {video.source}")
        started = time.monotonic()
        try:
            outcome = f"{upscale(video)} ({time.monotonic() - started:.0f} s)"
        except UserError as error:
            outcome = f"failed: {error}"
        except Exception as error:  # one of many videos must not end a night's work
            log.exception(f"{video.source} failed")
            outcome = f"failed: {type(error).__name__}: {error}"
        if outcome.startswith("failed"):
            log.error(f"{video.source} {outcome}")
            failed.append(video.source.name)
        outcomes.append((video.source.name, outcome))
    width = max(len(name) for name, _ in outcomes)
    log.info("\n".join(f"{name:{width}}  {outcome}" for name, outcome in outcomes))
    if failed:
        raise UserError(f"{len(failed)} of {len(queue)} videos failed: {', '.join(failed)}")


def _is_image(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in SUFFIXES


def _is_video(path: Path) -> bool:
    if path.is_dir():
        return any(map(_is_image, path.iterdir()))
    return is_video(path)


def _changed(path: Path) -> float:
    """Return when a file, or the newest file of a folder, was changed last."""
    return max(file.stat().st_mtime for file in (path.iterdir() if path.is_dir() else [path]))

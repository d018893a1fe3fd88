"""Player of two videos at a time under one slider."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcvsr.runtime.errors import UserError

if TYPE_CHECKING:
    from dcvsr.video.io import Video

SIDES = ("left", "right")


@dataclass(frozen=True)
class Player:
    """Videos of equal length and rate, by label; ``left`` and ``right`` are shown first.

    Args:
        videos: label and ``data:`` address of each.
        aspect: width over height, as displayed.
        rate: frames per second.
    """

    name: str
    videos: tuple[tuple[str, str], ...]
    left: int
    right: int
    aspect: float
    frames: int
    rate: float


def pair(name: str, videos: Any) -> Player:
    """Embed the mp4 files ``left`` and ``right`` under the labels ``left_label`` and ``right_label``.

    Raises:
        UserError: if there are other keys, a file is not an mp4 video, or the two differ in length or rate.
    """
    from dcvsr.video.io import read_video

    keys = {*SIDES, *(f"{side}_label" for side in SIDES)}
    if not isinstance(videos, dict) or videos.keys() != keys:
        raise UserError(f"pairs.{name} needs exactly the keys {', '.join(sorted(keys))}; got {videos}")
    paths = [Path(str(videos[side])) for side in SIDES]
    left, right = (read_video(path) for path in paths)
    require_step(f"pairs.{name}", {paths[0]: left, paths[1]: right})
    labels = (str(videos[f"{side}_label"]) for side in SIDES)
    return player(name, tuple(zip(labels, map(embed, paths), strict=True)), 0, 1, right)


def player(name: str, videos: tuple[tuple[str, str], ...], left: int, right: int, like: "Video") -> Player:
    """Create a player; ``like`` is any of the videos, which have equal length and rate."""
    height, width = like.frames.shape[-2:]
    aspect = float(width * like.aspect / height)
    return Player(name, videos, left, right, aspect, len(like.frames), float(like.rate))


def require_step(name: str, videos: Mapping[Path, "Video"]) -> None:
    """Check that videos can play in step.

    Raises:
        UserError: if the videos differ in length or rate.
    """
    (first, expected), *others = videos.items()
    for path, video in others:
        if (len(video.frames), video.rate) != (len(expected.frames), expected.rate):
            raise UserError(
                f"{name}: {first} has {len(expected.frames)} frames at {expected.rate} per second, "
                f"{path} {len(video.frames)} at {video.rate}; both must be equal"
            )


def embed(path: Path) -> str:
    """Encode an mp4 file as a ``data:`` address.

    Raises:
        UserError: it is of another format, which browsers may not play.
    """
    content = path.read_bytes() if path.is_file() else b""
    if content[4:8] != b"ftyp":
        raise UserError(f"{path} is not an mp4 file that browsers can play; convert it to .mp4")
    return "data:video/mp4;base64," + base64.b64encode(content).decode()

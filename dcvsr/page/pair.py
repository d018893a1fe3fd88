"""Two videos under one slider."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcvsr.errors import UserError


@dataclass(frozen=True)
class Pair:
    """Two videos of one length and rate, each embedded as a ``data:`` address, and what they are called."""

    name: str
    left: str
    right: str
    left_label: str
    right_label: str
    aspect: float  # width over height, as displayed
    frames: int
    rate: float  # per second


def pair(name: str, videos: Any) -> Pair:
    """Embed the mp4 files ``left`` and ``right``, to be called ``left_label`` and ``right_label``.

    Raises:
        UserError: other keys than these four, a file that is no mp4 video, two that cannot run in step.
    """
    from dcvsr.data.video import read_video

    keys = {"left", "right", "left_label", "right_label"}
    if not isinstance(videos, dict) or videos.keys() != keys:
        raise UserError(f"pairs.{name} needs exactly the keys {', '.join(sorted(keys))}; got {videos}")
    paths = [Path(str(videos[side])) for side in ("left", "right")]
    left, right = (read_video(path) for path in paths)
    if (len(left.frames), left.rate) != (len(right.frames), right.rate):
        raise UserError(
            f"pairs.{name}: {paths[0]} has {len(left.frames)} frames at {left.rate} per second, "
            f"{paths[1]} {len(right.frames)} at {right.rate}; a pair must run in step"
        )
    height, width = right.frames.shape[-2:]
    return Pair(
        name,
        *map(embed, paths),
        left_label=str(videos["left_label"]),
        right_label=str(videos["right_label"]),
        aspect=float(width * right.aspect / height),
        frames=len(right.frames),
        rate=float(right.rate),
    )


def embed(path: Path) -> str:
    """An mp4 file as the address of itself.

    Raises:
        UserError: it is of another format, which browsers may not play.
    """
    content = path.read_bytes() if path.is_file() else b""
    if content[4:8] != b"ftyp":
        raise UserError(f"{path} is no mp4 file, which a browser can play; write it again as .mp4")
    return "data:video/mp4;base64," + base64.b64encode(content).decode()

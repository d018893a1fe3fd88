"""Hashes that tell training clips apart."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from dcvsr.data.clips import Clip
from dcvsr.data.pairs import Pair
from dcvsr.runtime.hashing import digest


def clip_identity(clip: Clip | Pair) -> str:
    """Return a hash of what a clip's crops depend on: its frames, and its shots.

    Video files count by content, folders of frames by names, sizes and times of their files, and synthetic
    clips by their parameters.
    """
    if isinstance(clip, Pair):
        return digest([None if part is None else clip_identity(part) for part in (clip.hr, clip.lr)])
    shots = [[shot.start, shot.stop] for shot in clip.shots]
    return digest({"frames": _frames(clip), "shots": shots})


def _frames(clip: Any) -> str:
    if hasattr(clip, "digest"):
        return clip.digest
    return digest({"kind": type(clip).__qualname__, **_parameters(clip)})


def _parameters(clip: Any) -> Mapping[str, Any]:
    if not is_dataclass(clip):
        raise TypeError(f"cannot tell the clip {clip.name} apart: it has neither a digest nor fields")
    values = {field.name: getattr(clip, field.name) for field in fields(clip)}
    return {name: _frames(value) if hasattr(value, "read") else value for name, value in values.items()}

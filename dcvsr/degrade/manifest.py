"""manifest.json: what an LR set was made from, how, and what came of it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from dcvsr.degradation.walk import Params
from dcvsr.degrade.software import told_apart
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import read_json, write_whole

FORMAT = "dcvsr LR set 1"
WIDTH = 110
"""Up to which a dict stands on one line, its key not counted."""


@dataclass(frozen=True)
class Entry:
    """A clip of a set; one that was drawn and not made has no digests (`dcvsr.degrade.clip_hash`).

    Args:
        source: name of the video file or folder.
        frames: in HR as in LR.
        size, lr_size: width and height.
        parameters: what the degradation drew.
        hr_sha256: of the decoded frames.
        lr_sha256: of LR.
        fingerprint: metric -> score of LR, upsampled bicubically, against HR; None where it is not finite.
    """

    source: str
    frames: int
    size: tuple[int, int]
    lr_size: tuple[int, int]
    parameters: Params
    hr_sha256: str | None = None
    lr_sha256: str | None = None
    fingerprint: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """A set.

    Args:
        seed: that its parameters were drawn with.
        degradation: its option.
        settings: its resolved YAML.
        metrics: of the fingerprint.
        versions: of the software that made it, by name.
        clips: by name.
    """

    seed: int
    degradation: str
    settings: dict[str, Any]
    metrics: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    clips: dict[str, Entry] = field(default_factory=dict)

    def with_clip(self, name: str, entry: Entry) -> "Manifest":
        return replace(self, clips=dict(sorted({**self.clips, name: entry}.items())))

    @property
    def fingerprint(self) -> dict[str, float | None]:
        """Mean over clips; None where a clip has none."""
        scores = {name: [clip.fingerprint[name] for clip in self.clips.values()] for name in self.metrics}
        return {
            name: fmean(known) if known and len(known) == len(values) else None
            for name, values in scores.items()
            for known in [[value for value in values if value is not None]]
        }

    def require_settings(self, settings: Mapping[str, Any], path: Path) -> None:
        """Raises UserError unless the degradation's settings are this set's, which ``path`` holds."""
        if settings == self.settings:
            return
        told = list(_differences(self.settings, settings))
        more = f" and {len(told) - 2} more" if len(told) > 2 else ""
        raise UserError(
            f"{path} is of degradation={self.degradation}, of which differ here {', '.join(told[:2])}{more}; "
            f"set them as there"
        )

    def require_recipe(self, other: "Manifest", path: Path) -> None:
        """Raises UserError unless ``other`` goes on with this set, which ``path`` holds."""
        if other.seed != self.seed:
            raise UserError(
                f"{path} is of seed={self.seed}, not {other.seed}; name another output, or that seed"
            )
        self.require_settings(other.settings, path)
        if other.metrics != self.metrics:
            raise UserError(
                f"{path} has fingerprints of {', '.join(self.metrics) or 'nothing'}, not of "
                f"{', '.join(other.metrics) or 'nothing'}; name another output, or those metrics"
            )

    def require_versions(self, other: "Manifest", path: Path) -> None:
        """Raises UserError unless ``other`` has the software that this set, which ``path`` holds, names."""
        if other.versions != self.versions:
            raise UserError(
                f"{path} was made with other software: {told_apart(self.versions, other.versions)}; go on "
                f"with that, or name another output and manifest={path}"
            )

    def write(self, path: Path) -> None:
        """Whole or not at all."""
        write_whole(path, self.text())

    def text(self) -> str:
        content = {"format": FORMAT, **asdict(self)}
        if self.metrics:
            content["fingerprint"] = self.fingerprint
        return _lines(content) + "\n"


def read(path: Path) -> Manifest:
    """A set's manifest.

    Raises:
        UserError: if the file is missing or is none.
    """
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path} is no manifest of an LR set ('{FORMAT}'); name one that degrade wrote")
    try:
        clips = {name: _entry(clip) for name, clip in content["clips"].items()}
        known = {name: content[name] for name in (f.name for f in fields(Manifest))}
        return Manifest(**known | {"metrics": tuple(content["metrics"]), "clips": clips})
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is a damaged manifest ({error}); write it anew") from error


def _entry(content: dict[str, Any]) -> Entry:
    sizes: dict[str, Any] = {name: tuple(content[name]) for name in ("size", "lr_size")}
    return Entry(**{**content, **sizes})


def _differences(there: Any, here: Any, key: str = "") -> Iterator[str]:
    """Keys of two settings whose values differ."""
    if isinstance(there, dict) and isinstance(here, dict):
        for name in dict.fromkeys([*there, *here]):
            yield from _differences(there.get(name), here.get(name), f"{key}.{name}" if key else name)
    elif there != here:
        yield f"{key} ({_brief(there)} there, {_brief(here)} here)"


def _brief(value: Any) -> str:
    return "{...}" if isinstance(value, dict) else json.dumps(value)


def _lines(value: Any, indent: int = 0) -> str:
    """JSON in which a dict stands on one line if it fits."""
    line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if not isinstance(value, dict) or not value or len(line) + indent <= WIDTH:
        return line
    items = (f"{' ' * (indent + 1)}{json.dumps(key, ensure_ascii=False)}: " for key in value)
    body = ",\n".join(
        item + _lines(inner, indent + 1) for item, inner in zip(items, value.values(), strict=True)
    )
    return f"{{\n{body}\n{' ' * indent}}}"

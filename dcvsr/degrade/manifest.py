"""Manifest of an LR set: its HR, degradation, parameters, software and hashes."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from dcvsr.degradation.walk import Params
from dcvsr.degrade.software import version_differences
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import read_json, write_whole

FORMAT = "dcvsr LR set 1"
WIDTH = 110
"""Longest dict, without its key, that is written on one line."""


@dataclass(frozen=True)
class Entry:
    """A clip of a set; without hashes if its parameters were drawn but its LR was not made.

    Args:
        source: name of the video file or folder of HR.
        frames: number of frames, of HR and LR.
        size: width and height of HR.
        lr_size: width and height of LR.
        parameters: parameters drawn by the degradation.
        hr_sha256: hash of HR (`dcvsr.degrade.clip_hash`).
        lr_sha256: hash of LR.
        fingerprint: metric -> score of bicubically upsampled LR against HR; None if it is not finite.
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
    """The manifest of an LR set.

    Args:
        seed: seed of the parameters.
        degradation: name of the degradation's config.
        settings: resolved config of the degradation.
        metrics: metrics of the fingerprint.
        versions: versions of the software that made the set, by name.
        clips: entries by clip name.
    """

    seed: int
    degradation: str
    settings: dict[str, Any]
    metrics: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    clips: dict[str, Entry] = field(default_factory=dict)

    def with_clip(self, name: str, entry: Entry) -> "Manifest":
        """Return a copy with a clip added or replaced, sorted by name."""
        return replace(self, clips=dict(sorted({**self.clips, name: entry}.items())))

    @property
    def fingerprint(self) -> dict[str, float | None]:
        """Mean score over clips by metric; None if a clip has no finite score."""
        scores = {name: [clip.fingerprint[name] for clip in self.clips.values()] for name in self.metrics}
        return {
            name: fmean(known) if known and len(known) == len(values) else None
            for name, values in scores.items()
            for known in [[value for value in values if value is not None]]
        }

    def require_settings(self, settings: Mapping[str, Any], path: Path) -> None:
        """Raise UserError unless the degradation's settings equal those of this manifest, at ``path``."""
        if settings == self.settings:
            return
        differences = list(_differences(self.settings, settings))
        more = f" and {len(differences) - 2} more" if len(differences) > 2 else ""
        raise UserError(
            f"{path} has degradation={self.degradation} with other settings: "
            f"{', '.join(differences[:2])}{more}; set them as in the manifest"
        )

    def require_recipe(self, other: "Manifest", path: Path) -> None:
        """Raise UserError unless a run with the manifest ``other`` can continue this set, at ``path``."""
        if other.seed != self.seed:
            raise UserError(
                f"{path} has seed={self.seed}, not {other.seed}; name another output, or set that seed"
            )
        self.require_settings(other.settings, path)
        if other.metrics != self.metrics:
            raise UserError(
                f"{path} has fingerprints by {', '.join(self.metrics) or 'no metrics'}, not by "
                f"{', '.join(other.metrics) or 'no metrics'}; name another output, or set those metrics"
            )

    def require_versions(self, other: "Manifest", path: Path) -> None:
        """Raise UserError unless ``other`` has the software versions of this set, at ``path``."""
        if other.versions != self.versions:
            raise UserError(
                f"{path} was made with other software: {version_differences(self.versions, other.versions)}; "
                f"continue with that software, or name another output and manifest={path}"
            )

    def write(self, path: Path) -> None:
        """Write the manifest atomically."""
        write_whole(path, self.text())

    def text(self) -> str:
        """Return the manifest as JSON."""
        content = {"format": FORMAT, **asdict(self)}
        if self.metrics:
            content["fingerprint"] = self.fingerprint
        return _lines(content) + "\n"


def read(path: Path) -> Manifest:
    """Read the manifest of a set.

    Raises:
        UserError: if the file is missing, damaged or not a manifest.
    """
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path} is not a manifest of an LR set ('{FORMAT}'); name one that degrade wrote")
    try:
        clips = {name: _entry(clip) for name, clip in content["clips"].items()}
        known = {name: content[name] for name in (f.name for f in fields(Manifest))}
        return Manifest(**known | {"metrics": tuple(content["metrics"]), "clips": clips})
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is a damaged manifest ({error}); make the set again") from error


def _entry(content: dict[str, Any]) -> Entry:
    sizes: dict[str, Any] = {name: tuple(content[name]) for name in ("size", "lr_size")}
    return Entry(**{**content, **sizes})


def _differences(there: Any, here: Any, key: str = "") -> Iterator[str]:
    """Yield the keys and values in which two settings differ."""
    if isinstance(there, dict) and isinstance(here, dict):
        for name in dict.fromkeys([*there, *here]):
            yield from _differences(there.get(name), here.get(name), f"{key}.{name}" if key else name)
    elif there != here:
        yield f"{key} ({_brief(there)} in the manifest, {_brief(here)} here)"


def _brief(value: Any) -> str:
    return "{...}" if isinstance(value, dict) else json.dumps(value)


def _lines(value: Any, indent: int = 0) -> str:
    """Format JSON with each dict on one line if it fits."""
    line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if not isinstance(value, dict) or not value or len(line) + indent <= WIDTH:
        return line
    items = (f"{' ' * (indent + 1)}{json.dumps(key, ensure_ascii=False)}: " for key in value)
    body = ",\n".join(
        item + _lines(inner, indent + 1) for item, inner in zip(items, value.values(), strict=True)
    )
    return f"{{\n{body}\n{' ' * indent}}}"

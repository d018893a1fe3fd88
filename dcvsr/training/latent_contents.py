"""Settings that determine prepared latents, and the search for a set that was made with them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

from omegaconf import DictConfig, OmegaConf
from torch import nn

from dcvsr.data.clip_identity import clip_identity
from dcvsr.data.crops import Clips
from dcvsr.data.latent_set import LatentSet, sets_in
from dcvsr.imaging import Upsample
from dcvsr.models.conditioning import ImageEncoder, ImageFrames
from dcvsr.models.latents import Latents
from dcvsr.models.upscaler import TiledUpscaler
from dcvsr.runtime.choices import require_choice
from dcvsr.runtime.config_keys import keys
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.hashing import digest

NAMED = 3
"""Differences that an error names."""


@dataclass(frozen=True)
class Encoders:
    """Parts of a model that turn clips into latents and embeddings."""

    upsample: Upsample
    latents: Latents
    image_encoder: ImageEncoder
    image_frames: ImageFrames
    noise_augmentation: float

    def __post_init__(self) -> None:
        require_choice("image_frames", self.image_frames, get_args(ImageFrames))

    @classmethod
    def of(cls, upscaler: TiledUpscaler) -> "Encoders":
        """Return the parts of an upscaler."""
        return cls(**{field.name: getattr(upscaler, field.name) for field in fields(cls)})


def contents(cfg: DictConfig, clips: Clips, encoders: Encoders) -> dict[str, Any]:
    """Return the settings that determine latents, flat and plain, by the names that errors give them.

    Args:
        cfg: configuration of ``prepare`` or ``train``.
        clips: training clips.
        encoders: parts of the model.
    """
    degradation: Any = OmegaConf.to_container(cfg.degradation, resolve=True)
    latents = {f"model.latents.{name}": value for name, value in vars(encoders.latents).items()}
    return {
        "data.frames": cfg.data.frames,
        "data.crop": cfg.data.crop,
        **{f"degradation.{key}": value for key, value in keys(degradation) if not isinstance(value, dict)},
        "model.latents": type(encoders.latents).__qualname__,
        **{name: _identity(part) for name, part in latents.items()},
        "model.upsample": _identity(encoders.upsample),
        "model.image_encoder": _identity(encoders.image_encoder),
        "model.noise_augmentation": encoders.noise_augmentation,
        "upscaler.image_frames": encoders.image_frames,
        "module.noise_augmentation": _plain(cfg.module.noise_augmentation),
        **{f"data.training.{name}": clip_identity(clip)[:16] for name, clip in clips.items()},
    }


def found(root: Path, wanted: Mapping[str, Any]) -> LatentSet:
    """Return the set below ``root`` that has the contents ``wanted``, all of whose shards are there.

    Raises:
        UserError: if there is none, naming what differs, or if there are several.
    """
    sets = list(sets_in(root))
    if not sets:
        raise UserError(f"no latents in {root}: run python -m dcvsr.prepare, or name their folder, latents=")
    fitting = [one for one in sets if one.contents == wanted]
    if not fitting:
        nearest = min(sets, key=lambda one: len(_differences(one.contents, wanted)))
        raise UserError(
            f"{nearest.folder} was prepared with {_named(_differences(nearest.contents, wanted))}: change "
            "that, or run python -m dcvsr.prepare with the settings of this run"
        )
    if len(fitting) > 1:
        folders = ", ".join(str(one.folder) for one in fitting)
        raise UserError(f"several sets of latents fit: {folders}; choose one with latents=FOLDER")
    [latents] = fitting
    if missing := latents.missing():
        raise UserError(
            f"{latents.folder} lacks {len(missing)} of {len(latents.shards)} shards: run python -m "
            "dcvsr.prepare again, which makes those"
        )
    return latents


def _differences(theirs: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    absent = object()
    return [
        f"{name}{_values(theirs.get(name, absent), wanted.get(name, absent), absent)}"
        for name in [*wanted, *(name for name in theirs if name not in wanted)]
        if theirs.get(name, absent) != wanted.get(name, absent)
    ]


def _values(theirs: Any, wanted: Any, absent: object) -> str:
    """Return the two values if they are short, or tell which is missing."""
    if absent in (theirs, wanted):
        return " (missing there)" if theirs is absent else " (missing here)"
    short = all(len(str(value)) <= 24 for value in (theirs, wanted))
    is_hash = isinstance(theirs, str) and len(theirs) >= 16
    return f"={theirs}, not {wanted}" if short and not is_hash else " (another)"


def _named(differences: list[str]) -> str:
    more = len(differences) - NAMED
    return ", ".join(differences[:NAMED]) + (f" and {more} other differences" if more > 0 else "")


def _identity(part: Any) -> Any:
    """Return plain values as they are, and a network or function as its name with a hash of its tensors."""
    if isinstance(part, nn.Module):
        tensors = dict([*part.named_parameters(), *part.named_buffers()])
        return f"{type(part).__qualname__} {digest(tensors)[:16]}"
    if callable(part):
        return getattr(part, "__qualname__", None) or repr(part)
    return _plain(part)


def _plain(value: Any) -> Any:
    """Return what JSON gives back: lists instead of tuples and OmegaConf's lists."""
    return [*map(_plain, value)] if isinstance(value, list | tuple) or hasattr(value, "_content") else value

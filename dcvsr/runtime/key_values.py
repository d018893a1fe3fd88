"""Check that the values of keys have the types and ranges that a run needs, before any work.

Importing this module does not import torch.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import cache, partial
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from dcvsr.runtime.arguments import FILE_GROUPS, root
from dcvsr.runtime.composition import composed, is_choice
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.value_kinds import (
    ANYTHING,
    FROM_0,
    FROM_1,
    FROM_1_OR_NULL,
    GROUP_WITHOUT_NULL,
    LIST,
    LIST_OR_NULL,
    NOT_NEGATIVE,
    NUMBER,
    POSITIVE,
    WHOLE,
    Kind,
    Named,
    Number,
    Typed,
    kind_like,
)

TAKES: dict[str, Kind] = {
    **dict.fromkeys(["seed", "lr_seed", "*.seed"], Number(0, 2**64 - 1, whole=True)),
    **dict.fromkeys(["start", "*.start", "workers", "*.workers", "frame", "media", "crops.count"], FROM_0),
    **dict.fromkeys(["seeds", "batch", "*.batch", "*.batch_size", "captions.count", "crops.side"], FROM_1),
    **dict.fromkeys(["checkpoint_every", "checkpoints_every.*", "keep_last"], FROM_1),
    **dict.fromkeys(["batch", "batches.*", "steps.*"], FROM_1),
    **dict.fromkeys(["data.crop", "data.frames", "data.length", "data.side"], FROM_1),
    **dict.fromkeys(["draws", "crops", "crop_counts.*", "shard"], FROM_1),
    **dict.fromkeys(
        ["engine.save_every", "sampler.steps", "trainer.max_steps", "module.differentiated"], FROM_1
    ),
    **dict.fromkeys(["frames", "height", "*.stop", "upscaler.batch", "*.autoencoder.tile"], FROM_1_OR_NULL),
    **dict.fromkeys(["cache.limit_gb", "module.optimizer.weight_decay", "module.losses.*"], NOT_NEGATIVE),
    "module.latent": NOT_NEGATIVE,
    "module.compile": Typed(
        lambda value: isinstance(value, bool) or value == "blocks", "true, false or blocks"
    ),
    "callbacks.lora.rank": FROM_1,
    "callbacks.lora.alpha": POSITIVE,
    **dict.fromkeys(["module.decoded", "decoded.*", "module.perceived"], FROM_1_OR_NULL),
    **dict.fromkeys(
        ["module.optimizer.lr", "*.P_std", "trainer.val_check_interval", "*.side_by_side.rate"], POSITIVE
    ),
    **dict.fromkeys(["crf", "*.crf"], Number(0, 51)),
    "alpha": Named(("refuse", "bicubic", "ignore")),
    "deinterlace": Named(("none", "bwdif")),
    "codec": Named(("x264", "x265", "ffv1", "prores", "av1")),
    "codec_options*": ANYTHING,
    "pix_fmt": ANYTHING,
    "hdr": Named(("keep", "refuse")),
    "direction": Named(("minimize", "maximize")),
    "objective": ANYTHING,
    "data.source": Named(("clips", "latents")),
    "part": ANYTHING,
    "device": Named(("auto", "cpu", "cuda")),
    "precision": Named(("auto", "float32", "bfloat16", "float16")),
    "dtype": Named(("float32", "float16", "bfloat16")),
    "audio": Named(("copy", "aac", "flac", "none")),
    "on_damage": Named(("error", "repeat", "drop")),
    "colour": Named(("none", "wavelet", "adain")),
    "strength": Number(0, 1),
    "overwrite": Named(("auto", "never", "always", "newer")),
    "keep": Named(("mp4", "mkv", "mov", "png")),
    "fps": Number(0.001, 10_000, ratio=True, also=(None,)),
    "seconds": Number(0, above=True, ratio=True, also=(None,)),
    "factor": Number(1, 8, ratio=True),
    "tflops": Number(0, above=True, also=(None,)),
    "engine.memory": Number(0, above=True, also=("auto", None)),
    "step": Number(0, whole=True, also=(None,)),
    "stage": Number(1, 3, whole=True),
    "guidance.first_scale": Number(also=(None,)),
    "guidance.interval.*": Number(-math.inf, math.inf),
    "*.sigma_m??": Number(0, also=(None,)),
    "propagation.sap.rate": Number(0, above=True, also=(None,)),
    "upscaler.blend*": Number(0, math.inf, above=True),
    **dict.fromkeys(["trainer.max_epochs", "trainer.num_sanity_val_steps"], Number(-1, whole=True)),
    "trainer.gradient_clip_val": Number(0, also=(None,)),
    **dict.fromkeys(["include", "module.noise_augmentation"], LIST_OR_NULL),
    **dict.fromkeys(["ckpt", "*.ckpt", "run_name", "*.name", "region", "json", "licence", "hub"], ANYTHING),
    **dict.fromkeys(["run_group", "*.group", "keep_best"], ANYTHING),
    **dict.fromkeys(
        ["golden", "truth", "runs", "*.runs", "resume", "manifest", "real_images", "size"], ANYTHING
    ),
    **dict.fromkeys(["*.real_images.folder", "pictures.*.reference", "size"], ANYTHING),
    **dict.fromkeys(FILE_GROUPS, GROUP_WITHOUT_NULL),
    "nodes": FROM_1,
    **dict.fromkeys(["devices", "trainer.devices"], ANYTHING),  # auto, a number or a list, as Lightning takes
}
"""Kinds of values of keys whose default does not tell: it is null, or a number of a range."""

FRACTIONS = (
    *("degradation.steps.*", "degradation.usm.*.threshold", "data.shots.threshold", "data.test.*.d?"),
    *("guidance.sigma_max", "sampler.*", "model.noise_augmentation", "upscaler.noise_augmentation"),
    *("upscaler.network.threshold", "upscaler.network.mlp_ratio", "encoders.noise_augmentation"),
)
"""Keys whose default is a whole number, and that take any number."""


def refuse_values(cfg: DictConfig, config_name: str, overrides: Sequence[str]) -> None:
    """Refuse values of a type or range that their keys do not take.

    A key takes what `TAKES` tells, or else values of the type of its default. Files are not looked at.

    Args:
        cfg: the configuration composed.
        config_name: its name.
        overrides: arguments that made it, as Hydra takes them.

    Raises:
        UserError: naming the key, the value and what the key takes.
    """
    given = [override.partition("=")[0].lstrip("+") for override in overrides if override[:1] != "~"]
    choices = tuple(override for override in overrides if is_choice(override))
    for key in given:
        if root(key) == "hydra" or is_choice(key) or ("." in key and root(key) in FILE_GROUPS):
            continue
        for name, value in _leaves(key, OmegaConf.select(cfg, key)):
            kind = kind_of(name, partial(_default, config_name, choices, name))
            if not kind.takes(value):
                raise UserError(f"{name}={_written(value)} is not {kind}{_way_out(kind, name, value)}")


def kind_of(key: str, default: Callable[[], Any]) -> Kind:
    """Return the kind of values that ``key`` takes; ``default`` returns its default."""
    patterns = [key, *TAKES] if key in TAKES else TAKES
    for kind in (TAKES[pattern] for pattern in patterns if fnmatchcase(key, pattern)):
        return kind
    kind = kind_like(default())
    return NUMBER if kind is WHOLE and any(fnmatchcase(key, pattern) for pattern in FRACTIONS) else kind


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield ``key`` and, where it is a group, the keys below it, with their values."""
    yield key, value
    if isinstance(value, DictConfig):
        for name in value:
            if not str(name).startswith("_"):
                yield from _leaves(f"{key}.{name}", OmegaConf.select(value, str(name)))


def _default(config_name: str, choices: tuple[str, ...], key: str) -> Any:
    """Return the value of ``key`` that nobody has set: null if there is no such key, text if it has none."""
    try:
        return OmegaConf.select(_defaults(config_name, choices), key, throw_on_missing=True)
    except MissingMandatoryValue:
        return "???"
    except OmegaConfBaseException:  # an interpolation of a key without a value
        return None


@cache
def _defaults(config_name: str, choices: tuple[str, ...]) -> DictConfig:
    return composed(config_name, choices)


def _written(value: Any) -> str:
    """Return a value as it is written on the command line."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return str(value)


def _way_out(kind: Kind, key: str, value: Any) -> str:
    if kind in (LIST, LIST_OR_NULL):
        return f"; write '{key}=[{_written(value)}]'"
    return ""

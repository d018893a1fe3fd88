"""Every number and choice of ``scale=svd``, with its source in the paper or in the specification's readings.

The table is compared with the composed configurations, at the keys that the commands instantiate. A leaf of
these that is neither in the table nor in ``NOT_OF_THE_RECIPE`` fails the last test.
"""

import math
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from dcvsr.runtime.cli import CONF

FOLDERS = ("callbacks.checkpoint.dirpath", "callbacks.cost.folder", "callbacks.side_by_side.folder")
COMMANDS = {
    "stage1": ("train", "+experiment=stage1", *(f"{key}=run" for key in FOLDERS)),
    "stage2": ("train", "+experiment=stage2", *(f"{key}=run" for key in FOLDERS)),
    "upscale": ("upscale", "input=a", "output=b"),
    "evaluate": ("evaluate",),
}
Row = tuple[str, Any, str]
"""Key, value, source. The value of a node is a dict or a list with all of its leaves."""


def get(path: str) -> dict[str, str]:
    """A function that is chosen by name."""
    return {"_target_": "hydra.utils.get_method", "path": f"dcvsr.{path}"}


SAMPLING: list[Row] = [
    ("_target_", "dcvsr.models.upscaler.TiledUpscaler", "Fig. 2"),
    ("upsample", get("imaging.upsample"), "section 3, bicubic; spec A28"),
    ("denoiser.denoiser._target_", "dcvsr.models.denoiser.Denoiser", "Eq. (12)"),
    ("denoiser.denoiser.ids", [8, 127, 0], "appendix A, frame rate and motion; spec A13, A14"),
    ("denoiser.denoiser.unet._target_", "dcvsr.models.svd.pretrained_unet", "appendix A"),
    ("denoiser.denoiser.unet.checkpointing", True, "spec A23"),
    ("latents._target_", "dcvsr.models.latents.SVDLatents", "spec A15"),
    ("latents.scale", 0.18215, "spec 2.3"),
    ("latents.autoencoder._target_", "dcvsr.models.svd_autoencoder.pretrained_autoencoder", "appendix A"),
    ("latents.autoencoder.chunk", 14, "spec A20"),
    ("latents.autoencoder.overlap", 0, "spec A20"),
    ("latents.autoencoder.tile", None, "spec A20, each frame whole"),
    ("latents.autoencoder.tile_overlap", 0.25, "ours, for tiles"),
    ("image_encoder._target_", "dcvsr.models.svd.pretrained_image_encoder", "spec A12"),
    ("image_frames", "first", "spec A12"),
    ("noise_augmentation", 0, "spec A14"),
    ("sampler._target_", "dcvsr.diffusion.sampler.Sampler", "spec 2.2"),
    ("sampler.solver", "euler", "spec 2.2"),
    ("sampler.steps", 25, "Fig. 3"),
    ("sampler.sigma_min", 0.002, "appendix E"),
    ("sampler.sigma_max", 700, "appendix E"),
    ("sampler.rho", 7, "spec 2.2"),
    ("guidance._target_", "dcvsr.diffusion.guidance.DSSAG", "Eqs. (8), (9)"),
    ("guidance.scale", 1.0, "spec A11"),
    ("guidance.first_scale", None, "spec A11, constant over frames"),
    ("guidance.uncond", "zero_all", "spec A10"),
    (
        "guidance.interval",
        {"_target_": "dcvsr.diffusion.guidance.Interval", "lo": 0, "hi": math.inf},
        "Eq. (9)",
    ),
    ("guidance.maxima", "head", "spec A8, of each frame and head"),
    ("guidance.rho", 0.5, "section 3.3"),
    ("guidance.sigma_min", 0.002, "Eq. (10), sigma_T"),
    ("guidance.sigma_max", 700, "Eq. (10), sigma_0"),
    ("propagation._target_", "dcvsr.attention.alternating.Alternating", "section 3"),
    ("propagation.parity", "countdown", "Fig. 2; spec A4"),
    ("propagation.joint", False, "section 3, in turn"),
    ("propagation.branches", "own", "spec A9"),
    ("propagation.sap._target_", "dcvsr.attention.propagation.SpatialPropagation", "section 3.1"),
    ("propagation.sap.rate", 0.25, "Fig. 2 (b); spec A1"),
    ("propagation.sap.exchange", "lockstep", "spec A2"),
    ("propagation.tap._target_", "dcvsr.attention.propagation.TemporalPropagation", "section 3.2"),
    ("propagation.tap.frames", 4, "section 3.2, L"),
    ("propagation.tap.anchors", 0, "section 3.2, the neighbour's frames alone"),
    ("propagation.tap.selection", "std", "section 3.2; spec A7"),
    ("propagation.tap.choice", "per_layer", "spec A7"),
    ("propagation.tap.direction", "alternate", "spec A5"),
    ("propagation.tap.source", "chained", "Fig. 2 (c); spec A6"),
    ("grid._target_", "dcvsr.tiling.grid.TileGrid", "section 3"),
    ("grid.size", 64, "section 3"),
    ("grid.frames", 14, "section 3"),
    ("grid.overlap", 0.5, "section 3"),
    ("grid.schedule", "overlap", "section 3"),
    ("grid.border", "shift", "spec A17"),
    ("blend", 0.1, "spec A16"),
    ("blend_time", 0.1, "spec A16"),
    ("colour", "none", "spec A19"),
]
"""Keys of an upscaler."""


def walk(low: float, high: float, step: float) -> dict[str, Any]:
    return {"_target_": "dcvsr.degradation.walk.Walk", "low": low, "high": high, "step": step}


KINDS = {"iso": 0.405, "aniso": 0.225, "generalized_iso": 0.108, "generalized_aniso": 0.027}
KINDS |= {"plateau_iso": 0.108, "plateau_aniso": 0.027, "sinc": 0.1}
THIRDS = {"bilinear": 1, "area": 1, "bicubic": 1}
USM = {
    "_target_": "dcvsr.degradation.sharpen.USM",
    "source": True,
    "target": False,
    "mask": {
        "_target_": "dcvsr.degradation.sharpen.UnsharpMask",
        "size": 51,
        "sigma": 8.0,
        "weight": 0.5,
        "threshold": 10,
    },
}
CODEC = {
    "_target_": "dcvsr.degradation.codec.VideoCompression",
    "codecs": {"libx264": 2, "mpeg4": 1},
    "rate": {"_target_": "dcvsr.degradation.codec.BitRate", "low": 10_000, "high": 100_000},
    "coder": "pyav",
}


def blurred(name: str, probability: float, widest: float) -> list[Row]:
    return [
        (f"{name}._target_", "dcvsr.degradation.steps.Sometimes", "spec 5.2"),
        (f"{name}.probability", probability, "spec 5.2"),
        (f"{name}.step._target_", "dcvsr.degradation.blur.Blur", "spec 5.2"),
        (f"{name}.step.kinds", KINDS, "spec 5.2"),
        (f"{name}.step.smallest", 7, "spec 5.2"),
        (f"{name}.step.largest", 21, "spec 5.2"),
        (f"{name}.step.sigma_x", walk(0.2, widest, 0.02), "spec 5.2"),
        (f"{name}.step.sigma_y", walk(0.2, widest, 0.02), "spec 5.2"),
        (f"{name}.step.angle", walk(-3.141593, 3.141593, 0.314159), "spec 5.2, -pi to pi"),
        (f"{name}.step.beta_gaussian", walk(0.5, 4.0, 0.05), "spec 5.2"),
        (f"{name}.step.beta_plateau", walk(1.0, 2.0, 0.1), "spec 5.2"),
        (f"{name}.step.omega_small", walk(1.047198, 3.141593, 0.0628), "spec 5.2, pi/3 to pi"),
        (f"{name}.step.omega_large", walk(0.628319, 3.141593, 0.0628), "spec 5.2, pi/5 to pi"),
    ]


def resized(name: str, up: float, down: float, keep: float, scale: dict[str, Any]) -> list[Row]:
    return [
        (f"{name}._target_", "dcvsr.degradation.resize.Resize", "spec 5.2"),
        (f"{name}.up", up, "spec 5.2"),
        (f"{name}.down", down, "spec 5.2"),
        (f"{name}.keep", keep, "spec 5.2"),
        (f"{name}.scale", scale, "spec 5.2"),
        (f"{name}.kernels", THIRDS, "spec 5.2"),
        (f"{name}.resample", "opencv", "spec 5.2: RealBasicVSR calls OpenCV's resize"),
    ]


def noisy(name: str, sigma: dict[str, Any], scale: dict[str, Any]) -> list[Row]:
    return [
        (f"{name}._target_", "dcvsr.degradation.noise.Noise", "spec 5.2"),
        (f"{name}.gaussian", 0.5, "spec 5.2"),
        (f"{name}.poisson", 0.5, "spec 5.2"),
        (f"{name}.sigma", sigma, "spec 5.2"),
        (f"{name}.scale", scale, "spec 5.2"),
        (f"{name}.gray", 0.4, "spec 5.2"),
    ]


def coded(name: str) -> list[Row]:
    return [
        (f"{name}._target_", "dcvsr.degradation.jpeg.JPEG", "spec 5.2"),
        (f"{name}.quality", walk(30, 95, 3), "spec 5.2"),
    ]


DEGRADATION: list[Row] = [
    ("_target_", "dcvsr.degradation.pipeline.configured", "section 4, Chan et al. 2022b"),
    ("factor", 4, "section 4"),
    ("codec", "pyav", "spec 5.2"),
    ("resample", "opencv", "spec 5.2: RealBasicVSR calls OpenCV's resize"),
    ("usm", USM, "spec 5.3, A25"),
    ("steps.sharpen", USM, "spec 5.3, A25"),
    *blurred("steps.blur1", 1.0, 3.0),
    *resized("steps.resize1", 0.2, 0.7, 0.1, walk(0.15, 1.5, 0.015)),
    *noisy("steps.noise1", walk(1, 30, 0.1), walk(0.05, 3, 0.005)),
    *coded("steps.jpeg1"),
    ("steps.video1", CODEC, "spec 5.2"),
    *blurred("steps.blur2", 0.8, 1.5),
    *resized("steps.resize2", 0.3, 0.4, 0.3, walk(0.3, 1.2, 0.03)),
    *noisy("steps.noise2", walk(1, 25, 0.1), walk(0.05, 2.5, 0.005)),
    *coded("steps.jpeg2"),
    ("steps.last._target_", "dcvsr.degradation.steps.Shuffled", "spec 5.2"),
    ("steps.last.steps.video2", CODEC, "spec 5.2"),
    ("steps.last.steps.reduce._target_", "dcvsr.degradation.steps.InTurn", "spec 5.2"),
    ("steps.last.steps.reduce.steps.resize._target_", "dcvsr.degradation.resize.Reduce", "spec 5.2"),
    ("steps.last.steps.reduce.steps.resize.factor", 4, "spec 5.2"),
    ("steps.last.steps.reduce.steps.resize.kernels", THIRDS, "spec 5.2"),
    ("steps.last.steps.reduce.steps.resize.resample", "opencv", "spec 5.2"),
    ("steps.last.steps.reduce.steps.sinc._target_", "dcvsr.degradation.steps.Sometimes", "spec 5.2"),
    ("steps.last.steps.reduce.steps.sinc.probability", 0.8, "spec 5.2"),
    ("steps.last.steps.reduce.steps.sinc.step._target_", "dcvsr.degradation.blur.Sinc", "spec 5.2"),
    ("steps.last.steps.reduce.steps.sinc.step.smallest", 7, "spec 5.2"),
    ("steps.last.steps.reduce.steps.sinc.step.largest", 21, "spec 5.2"),
    ("steps.last.steps.reduce.steps.sinc.step.omega", walk(1.047198, 3.141593, 0.0628), "spec 5.2"),
]
"""Keys of RealBasicVSR's degradation."""

REDS4 = ["000", "011", "015", "020"]
TRAINING: list[Row] = [
    ("module._target_", "dcvsr.training.module.VSRModule", "appendix A"),
    ("module.loss._target_", "dcvsr.diffusion.loss.EDMLoss", "Eq. (11)"),
    ("module.loss.P_mean", 0.7, "spec A21"),
    ("module.loss.P_std", 1.6, "spec A21"),
    ("module.dropout", 0.1, "spec A22"),
    ("module.noise_augmentation", None, "spec A14"),
    ("module.dropout_mode", "joint", "spec A22"),
    ("module.optimizer._target_", "dcvsr.training.optimizer.adamw", "appendix A"),
    ("module.optimizer.lr", 1e-4, "appendix A"),
    ("module.optimizer.betas", [0.9, 0.999], "spec A23"),
    ("module.optimizer.weight_decay", 0.01, "spec A23"),
    ("module.optimizer.bits", 32, "appendix A"),
    ("trainer.max_steps", 5000, "appendix A; spec A23"),
    ("batch", 256, "appendix A, on however many devices"),
    ("trainer.num_nodes", 1, "any number: batch counts all"),
    ("trainer.strategy", "auto", "any: all train on the same draws"),
    ("trainer.devices", 1, "any number: batch counts all"),
    ("trainer.gradient_clip_val", 1.0, "spec A23"),
    ("trainer.precision", "bf16-mixed", "spec A23"),
    ("trainer.max_epochs", -1, "appendix A: iterations alone end training"),
    ("datamodule.batch_size", 1, "appendix A, a batch of 256"),
    ("datamodule.frames", 14, "appendix A"),
    ("datamodule.crop", 512, "appendix A"),
    ("datamodule.training.exclude", REDS4, "section 4; spec 5.1"),
    ("datamodule.validation.include", ["000"], "section 4: one clip of REDS4"),
]
FREEZE: list[Row] = [
    ("callbacks.freeze._target_", "dcvsr.training.freeze.FreezeTemporalLayers", "appendix A"),
    (
        "callbacks.freeze.groups",
        ["temporal_transformer_blocks", "temporal_res_block", "time_pos_embed", "time_mixer"],
        "appendix A; spec A24",
    ),
]
TESTING: list[Row] = [("data.test.include", REDS4, "section 4; spec 5.1"), ("lr_seed", 0, "spec A27")]


def under(prefix: str, rows: list[Row]) -> list[Row]:
    return [(f"{prefix}.{key}", value, source) for key, value, source in rows]


TRAINED = [*TRAINING, *under("module.upscaler", SAMPLING), *under("datamodule.degradation", DEGRADATION)]
RECIPE: dict[str, list[Row]] = {
    "stage1": TRAINED,
    "stage2": [*TRAINED, *FREEZE],
    "upscale": under("upscaler", SAMPLING),
    "evaluate": [*under("upscaler", SAMPLING), *under("degradation", DEGRADATION), *TESTING],
}

READ = (
    "module",
    "trainer",
    "batch",
    "datamodule",
    "callbacks",
    "upscaler",
    "data.test",
    "degradation",
    "lr_seed",
)
"""Keys that the commands instantiate; train takes the upscaler from ``module``."""

NOT_OF_THE_RECIPE = [
    *("*.seed", "*upscaler.*.source", "datamodule.*.path", "data.test.path", "*._partial_"),  # places, draws
    *("datamodule.*.cache", "data.test.cache", "*upscaler.cache.*"),
    *("*upscaler.denoiser._target_", "*upscaler.denoiser.runs", "*.ckpt"),  # which weights
    *("*upscaler.denoiser.scale", "*upscaler.denoiser.stages.*", "module.about.*", "module.metrics.*"),
    *("*upscaler.batch", "*upscaler.precision.*", "module.compile"),  # speed
    *("module.optimizer.fused", "module.on_nan"),
    *("*degradation.jpeg", "*.jpeg[12].coder"),
    *("trainer._target_", "trainer.accelerator", "trainer.log_every_n_steps", "trainer.val_check_interval"),
    *("trainer.num_sanity_val_steps", "trainer.enable_model_summary"),  # reports
    *("datamodule._target_", "datamodule.workers", "datamodule.*._target_", "data.test._target_"),
    *("callbacks.progress.*", "callbacks.checkpoint.*", "callbacks.data_wait.*", "callbacks.cost.*"),
    *("callbacks.side_by_side.*", "callbacks.preemption.*", "callbacks.isolated_validation.*"),
    *("callbacks.loss.*", "callbacks.weight_norms.*", "callbacks.memory.*", "datamodule.validated.*"),
]


@cache
def composed(command: str) -> dict[str, Any]:
    """Key -> value of all leaves that ``command`` reads at ``scale=svd``."""
    name, *overrides = COMMANDS[command]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(name, ["scale=svd", *overrides])
    read = [key for key in READ if OmegaConf.select(cfg, key.partition(".")[0]) is not None]
    if name == "train":
        read = [key for key in read if key not in ("upscaler", "data.test", "degradation")]
    found: dict[str, Any] = {}
    for key in read:
        node = OmegaConf.select(cfg, key)
        value = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
        found |= leaves(value, key)
    return found


def leaves(value: Any, key: str) -> dict[str, Any]:
    """A leaf, or those of a dict or list, under their full keys."""
    inside: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(value, dict):
        inside = iter(value.items())
    elif isinstance(value, list):
        inside = iter(enumerate(value))
    else:
        return {key: value}
    return {name: leaf for part, below in inside for name, leaf in leaves(below, f"{key}.{part}").items()}


ROWS = [(command, *row) for command, rows in RECIPE.items() for row in rows]


@pytest.mark.parametrize(("command", "key", "value", "source"), ROWS, ids=lambda part: str(part)[:60])
def test_a_number_of_the_recipe_is_that_of_its_source(
    command: str, key: str, value: Any, source: str
) -> None:
    found = composed(command)
    expected = leaves(value, key)
    assert {name: found.get(name, "missing") for name in expected} == expected, source


@pytest.mark.parametrize("command", RECIPE)
def test_a_list_of_the_recipe_has_no_more_than_the_table_says(command: str) -> None:
    """A node of the table has no other leaf, such as a fifth group of frozen layers."""
    for key, value, _ in RECIPE[command]:
        inside = {name for name in composed(command) if name == key or name.startswith(f"{key}.")}
        assert inside == leaves(value, key).keys()


@pytest.mark.parametrize("command", RECIPE)
def test_every_setting_that_the_method_reads_is_in_the_table_or_named_as_not_of_the_recipe(
    command: str,
) -> None:
    pinned = {name for key, value, _ in RECIPE[command] for name in leaves(value, key)}
    rest = [name for name in composed(command) if name not in pinned]
    unknown = [name for name in rest if not any(fnmatch(name, pattern) for pattern in NOT_OF_THE_RECIPE)]
    assert not unknown, f"add {unknown} to the table with its source, or to NOT_OF_THE_RECIPE"


def test_every_exception_is_one() -> None:
    keys = {name for command in RECIPE for name in composed(command)}
    assert [pattern for pattern in NOT_OF_THE_RECIPE if not any(fnmatch(key, pattern) for key in keys)] == []

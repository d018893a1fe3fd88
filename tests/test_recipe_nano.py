"""Numbers of ``scale=nano`` that the model in the box was trained and is sampled with.

They are ours, measured or chosen for two CPU cores; conf/ says why beside each. The weights in the box fit no
others: whoever changes one of the first table trains and ships a new model.
"""

import hashlib
import json
from functools import cache
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from dcvsr.runtime.cli import CONF
from tests.test_recipe import COMMANDS, FOLDERS, leaves

MODEL = {
    "upscaler.upsample": {"_target_": "dcvsr.models.upsampler.frozen", "channels": 64, "blocks": 8},
    "upscaler.denoiser.denoiser.ids": [8, 127, 0],
    "upscaler.denoiser.denoiser.unet": {
        "_target_": "dcvsr.models.svd.new_unet",
        "latent_channels": 48,
        "channels": [64, 64, 128],
        "heads": [1, 1, 2],
        "layers": 1,
        "embedding": 32,
        "frames": 8,
        "checkpointing": False,
    },
    "upscaler.latents.means": [0, 16, 32],
    "upscaler.latents.window": 3,
    "upscaler.latents.least_contrast": 0.02,
    "upscaler.image_encoder": {"_target_": "dcvsr.models.image_encoder.ZeroEmbedding", "size": 32},
}
SAMPLING = {
    "upscaler.sampler.steps": 1,
    "upscaler.sampler.sigma_min": 15,
    "upscaler.sampler.sigma_max": 60,
    "upscaler.sampler.rho": 7,
    "upscaler.guidance": {"_target_": "dcvsr.diffusion.guidance.NoGuidance"},
    "upscaler.propagation.sap.rate": 0.25,
    "upscaler.propagation.tap.frames": 4,
    "upscaler.propagation.tap.anchors": 0,
    "upscaler.grid.size": 32,
    "upscaler.grid.frames": 8,
    "upscaler.grid.overlap": 0.125,
    "upscaler.blend": 0.1,
    "upscaler.blend_time": 0.1,
}
TRAINING = {
    "module.loss": {"_target_": "dcvsr.diffusion.loss.EDMLoss", "P_mean": 2.2, "P_std": 1.0},
    "module.dropout": 0.1,
    "module.compile": True,
    "module.optimizer": {
        "_target_": "dcvsr.training.optimizer.adamw",
        "_partial_": True,
        "lr": 1e-3,
        "betas": [0.9, 0.999],
        "weight_decay": 0.01,
        "fused": True,
        "bits": 32,
    },
    "trainer.gradient_clip_val": 1.0,
    "batch": 1,
    "datamodule.batch_size": 1,
    "datamodule.frames": 8,
    "datamodule.crop": 128,
    "checkpoint_every": 250,
}
STAGES = {
    "nano_stage1": {"trainer.max_steps": 20_000, "callbacks.ema.decay": 0.9995},
    "nano_stage2": {"trainer.max_steps": 2_000, "callbacks.ema.decay": 0.999},
}

DIGESTS = {
    "residual_std": "c6ad6f86089a74a1",
    "condition_mean": "8bd8b7841a73d864",
    "condition_std": "852956afa7bf3da9",
}
"""First 16 digits of the SHA-256 of the 48 numbers of each, as JSON."""


@cache
def composed(command: str) -> Any:
    name, *overrides = COMMANDS.get(command) or (
        "train",
        f"+experiment={command}",
        *(f"{key}=run" for key in FOLDERS),
    )
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(name, ["scale=nano", *overrides])


def found(command: str, key: str) -> Any:
    value = OmegaConf.select(composed(command), key)
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


@pytest.mark.parametrize(("key", "value"), [*MODEL.items(), *SAMPLING.items()])
def test_a_number_of_the_shipped_model_is_that_which_it_was_trained_with(key: str, value: Any) -> None:
    assert leaves(found("upscale", key), key) == leaves(value, key)
    assert leaves(found("nano_stage3", key), key) == leaves(value, key)


def test_stages_1_and_2_are_validated_with_three_steps() -> None:
    assert [found(f"nano_stage{stage}", "upscaler.sampler.steps") for stage in (1, 2)] == [3, 3]


def test_stage_3_is_trained_by_its_numbers() -> None:
    losses = {"l1": 2, "charbonnier": 0, "lpips": 1, "dists": 1, "differences": 1, "specks": 2}
    assert found("nano_stage3", "module.losses") == losses | {"adversarial": 0, "features": 0}
    wanted = {
        "trainer.max_steps": 1800,
        "callbacks.ema.decay": 0.995,
        "callbacks.freeze.groups": [],
        "module.optimizer.lr": 2e-4,
        "module.perceived": 1,
        "datamodule.frames": 4,
        "datamodule.crop": 128,
    }
    assert {key: found("nano_stage3", key) for key in wanted} == wanted


@pytest.mark.parametrize("stage", STAGES)
def test_the_shipped_model_is_trained_by_its_numbers(stage: str) -> None:
    wanted = {**TRAINING, **STAGES[stage]}
    assert {key: found(stage, key) for key in wanted} == wanted


@pytest.mark.parametrize("name", DIGESTS)
def test_latents_are_whitened_by_the_numbers_that_the_shipped_model_was_trained_with(name: str) -> None:
    numbers = [float(number) for number in found("upscale", f"upscaler.latents.{name}")]
    assert len(numbers) == 48
    assert hashlib.sha256(json.dumps(numbers).encode()).hexdigest()[:16] == DIGESTS[name]

"""Compositions that the tests remember are those of Hydra."""

from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from dcvsr.runtime.cli import CONF
from tests.composing import forgotten_compositions

STAGE = "+experiment=stage1"


def composed(name: str, overrides: list[str]) -> Any:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(name, overrides, return_hydra_config=True)
    assert OmegaConf.is_struct(cfg)
    found = OmegaConf.to_container(cfg)
    OmegaConf.update(cfg, "hydra.job.name", "changed")
    return found


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("train", [STAGE, "~callbacks.progress", "seed=3", "+trainer.max_time=1"]),
        ("train", [STAGE, "scale=svd", "data=synthetic", "propagation=none", "metrics=[psnr]"]),
        ("upscale", ["input=a", "tile={size:8}", "propagation=sap", "++codec_options.x=1"]),
        ("evaluate", ["+sweep=parallel", "upscaler=bicubic", "hydra.sweep.dir=run"]),
    ],
)
def test_remembered_compositions_are_hydra_s(name: str, overrides: list[str]) -> None:
    with forgotten_compositions():
        expected = composed(name, overrides)
    for _ in range(2):  # what is kept is a copy
        assert composed(name, overrides) == expected

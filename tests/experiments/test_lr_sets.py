"""The parameters of REDS4's and UDM10's LR: what is committed is what the code draws."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from hydra.utils import instantiate

from dcvsr.degrade.manifest import read
from tests.degradation.making import clip

FOLDER = Path(__file__).parents[2] / "experiments/lr_sets"


@pytest.fixture
def draw() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw", FOLDER / "draw.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["REDS4", "UDM10"])
def test_what_is_committed_is_what_is_drawn(name: str, draw: ModuleType) -> None:
    committed = (FOLDER / f"{name.lower()}.json").read_text()
    assert draw.drawn(getattr(draw, name)).text() == committed


@pytest.mark.parametrize("name", ["reds4", "udm10"])
def test_a_clip_can_be_made(name: str) -> None:
    manifest = read(FOLDER / f"{name}.json")
    degradation = instantiate(manifest.settings, _convert_="all")
    entry = next(iter(manifest.clips.values()))
    width, height = entry.size
    lr = degradation.apply(entry.parameters, clip(2, height, width))
    assert lr.shape == (2, 3, *reversed(entry.lr_size))
    assert torch.isfinite(lr).all()

"""Helpers for the tests of baselines."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from torch import Tensor

from dcvsr.data.packaged import packaged
from dcvsr.degradation.pipeline import bicubic
from dcvsr.degradation.seeds import generator
from dcvsr.runtime.cli import CONF
from dcvsr.runtime.errors import UserError
from dcvsr.video.io import read_video, to_unit


@cache
def upscaler(name: str, *settings: str) -> Any:
    """The configured upscaler; skips the test if basicsr or the weights are missing."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("evaluate", [f"upscaler={name}", *settings]).upscaler
    try:
        return instantiate(cfg)
    except InstantiationException as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, UserError):
            cause = cause.__cause__
        if cause is None or not any(part in str(cause) for part in ("needs basicsr", "cannot be fetched")):
            raise
        pytest.skip(str(cause))


@cache
def pair(frames: int) -> tuple[Tensor, Tensor]:
    """LR and HR ``f c h w`` of a real clip, 44x36 and 176x144."""
    hr = to_unit(read_video(packaged("carphone_pristine")).frames[:frames])
    degradation = bicubic(4)
    return degradation.apply(degradation.draw(generator(), hr.shape), hr), hr


def saved(path: Path, state: dict[str, Any]) -> str:
    torch.save(state, path)
    return str(path)


def noise(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))

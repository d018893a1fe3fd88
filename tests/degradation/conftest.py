"""Fixtures of the tests of degradations."""

from types import ModuleType

import pytest
from torch import Tensor

from dcvsr.data.packaged import packaged
from dcvsr.runtime import basicsr as fence
from dcvsr.runtime.errors import UserError
from dcvsr.video.io import read_video, to_unit


@pytest.fixture(scope="session")
def real_clip() -> Tensor:
    """Ten frames of a real clip, ``f c h w``, 144x176."""
    return to_unit(read_video(packaged("carphone_pristine")).frames[:10])


@pytest.fixture(scope="session")
def basicsr() -> ModuleType:
    """`basicsr.data.degradations`: a second oracle."""
    try:
        return fence.module("data.degradations")
    except UserError as error:
        pytest.skip(str(error))

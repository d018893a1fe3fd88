"""basicsr 1.4.2, optional: its architectures, its NIQE and its kernels; the one place that imports it.

It asks torchvision for a module that is gone: one with the function it wants takes the place. Nothing of it
is imported before it is asked for.
"""

import importlib
import importlib.util
import sys
import warnings
from types import ModuleType
from typing import Any

from dcvsr.runtime.errors import UserError

INSTALL = "pip install --no-deps --no-build-isolation basicsr==1.4.2"

ARCHITECTURES = {
    "RRDBNet": "archs.rrdbnet_arch",
    "SRVGGNetCompact": "archs.srvgg_arch",
    "SwinIR": "archs.swinir_arch",
    "BasicVSR": "archs.basicvsr_arch",
    "ConvResidualBlocks": "archs.basicvsr_arch",
    "SpyNet": "archs.spynet_arch",
}
"""Classes that this module offers as its own, each with where basicsr keeps it."""

GONE = "torchvision.transforms.functional_tensor"


def module(name: str) -> Any:
    """The module ``basicsr.<name>``.

    Raises:
        UserError: if basicsr, or a package it needs, is not installed.
    """
    if GONE not in sys.modules and importlib.util.find_spec(GONE) is None:
        from torchvision.transforms.functional import rgb_to_grayscale

        substitute = ModuleType(GONE)
        vars(substitute)["rgb_to_grayscale"] = rgb_to_grayscale
        sys.modules[GONE] = substitute
    warnings.filterwarnings("ignore", "torch.meshgrid", module="torch.functional")  # its warping is of 2021
    try:
        return importlib.import_module(f"basicsr.{name}")
    except ModuleNotFoundError as error:
        raise UserError(f"this needs basicsr ({error}): {INSTALL}") from error


def __getattr__(name: str) -> Any:
    if name not in ARCHITECTURES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(module(ARCHITECTURES[name]), name)

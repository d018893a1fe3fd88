"""Lazy access to basicsr 1.4.2 (optional): architectures, NIQE and kernels. No other module imports basicsr.

basicsr imports a module that torchvision has removed; a substitute provides the one function it needs.
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
"""Classes available as attributes of this module -> their module in basicsr."""

GONE = "torchvision.transforms.functional_tensor"


def module(name: str) -> Any:
    """Import and return the module ``basicsr.<name>``.

    Raises:
        UserError: if basicsr, or a package it needs, is not installed.
    """
    if GONE not in sys.modules and importlib.util.find_spec(GONE) is None:
        from torchvision.transforms.functional import rgb_to_grayscale

        substitute = ModuleType(GONE)
        vars(substitute)["rgb_to_grayscale"] = rgb_to_grayscale
        sys.modules[GONE] = substitute
    warnings.filterwarnings(
        "ignore", "torch.meshgrid", module="torch.functional"
    )  # basicsr's warping uses an old signature
    try:
        return importlib.import_module(f"basicsr.{name}")
    except ModuleNotFoundError as error:
        raise UserError(f"this needs basicsr ({error}): {INSTALL}") from error


def __getattr__(name: str) -> Any:
    """Return a class of `ARCHITECTURES`, imported on first use."""
    if name not in ARCHITECTURES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(module(ARCHITECTURES[name]), name)

"""Diffusion video super-resolution with the method of DC-VSR: train, upscale, evaluate.

Importing this package takes milliseconds; it does not import torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dcvsr.upscale import load

    __version__: str

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("dcvsr")
    if name == "load":
        from dcvsr.upscale import load

        return load
    raise AttributeError(f"module {__name__} has no attribute {name}")

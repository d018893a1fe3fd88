"""Diffusion video super-resolution with the method of DC-VSR: train, upscale, evaluate.

Importing this package takes milliseconds; it does not import torch.
"""

__version__: str


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version

        return version("dcvsr")
    raise AttributeError(f"module {__name__} has no attribute {name}")

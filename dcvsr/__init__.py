"""Diffusion video super-resolution with the method of DC-VSR: train, upscale, evaluate.

>>> up = dcvsr.load("nano")
>>> video = dcvsr.read_video("clip.mp4")
>>> dcvsr.write_video("big.mp4", up(video.frames), video)

Importing this package takes milliseconds; it does not import torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dcvsr.models.loaded import load
    from dcvsr.runtime.errors import UserError
    from dcvsr.video.io import read_video, write_video
    from dcvsr.video.memory import Video

    __version__: str

__all__ = ["UserError", "Video", "__version__", "load", "read_video", "write_video"]

_MODULES = {
    "UserError": "dcvsr.runtime.errors",
    "Video": "dcvsr.video.memory",
    "load": "dcvsr.models.loaded",
    "read_video": "dcvsr.video.io",
    "write_video": "dcvsr.video.io",
}
"""Modules of the public names, imported at their first use."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("dcvsr")
    if name in _MODULES:
        from importlib import import_module

        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__} has no attribute {name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

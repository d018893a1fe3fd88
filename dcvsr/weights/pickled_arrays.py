"""Reading pickled numpy arrays without running anything that the pickle names."""

import pickle
from pathlib import Path
from typing import Any

from dcvsr.runtime.errors import UserError


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

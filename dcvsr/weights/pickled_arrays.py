"""Reader of pickled numpy arrays that runs no code named by the pickle."""

import pickle
from pathlib import Path
from typing import Any

from dcvsr.runtime.errors import UserError


def read_arrays(path: Path) -> dict[str, Any]:
    """Unpickle nested dicts of numpy arrays; any other name in the pickle is refused before it is imported.

    Raises:
        UserError: if the pickle names anything except arrays.
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
                    f"{path} contains {name}, which is not an array; nothing was executed, remove the file"
                )
            return known[name]

    with path.open("rb") as file:
        return ArraysOnly(file).load()

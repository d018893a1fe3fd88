"""Orientation of frames: rotation by quarter turns and mirroring, by the display matrix in the file.

Axes: h height, w width, c channels (RGB).
"""

import av
import numpy as np
from av.sidedata.sidedata import Type
from einops import rearrange


def _unnamed(kind: type[Type], value: object) -> Type:
    """Return a member for a type of side data that PyAV does not name, such as EXIF; it would raise."""
    member = object.__new__(kind)
    member._name_, member._value_ = f"UNNAMED_{value}", value
    return member


# FFmpeg adds types faster than PyAV: frames of cameras and phones would not be readable.
Type._missing_ = classmethod(_unnamed)  # type: ignore[method-assign, assignment]


def display_matrix(frame: av.VideoFrame) -> np.ndarray:
    """Return the matrix that maps a stored (x, y) to (x, y) @ matrix; ``frame.rotation`` omits mirroring.

    The side data that PyAV returns refer to their frame, and it to them: a frame passed here is freed only by
    a run of Python's cycle collector.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    return np.eye(2) if data is None else np.frombuffer(data, np.int32).reshape(3, 3)[:2, :2].copy()


def is_turned(matrix: np.ndarray) -> bool:
    """Return True if display by ``matrix`` swaps width and height."""
    return bool(abs(matrix[0, 1]) > abs(matrix[0, 0]))


def upright(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Rotate and mirror an image, ``h w c``, as players display it by ``matrix``."""
    if is_turned(matrix):
        image, matrix = rearrange(image, "h w c -> w h c"), matrix[::-1]
    return image[:: -1 if matrix[1, 1] < 0 else 1, :: -1 if matrix[0, 0] < 0 else 1]

"""Orientation of frames: rotation by quarter turns and mirroring, by the display matrix in the file.

Axes: h height, w width, c channels (RGB).
"""

import av
import numpy as np
from einops import rearrange


def is_turned(frame: av.VideoFrame) -> bool:
    """Return True if display swaps width and height."""
    matrix = _display_matrix(frame)
    return bool(abs(matrix[0, 1]) > abs(matrix[0, 0]))


def upright(image: np.ndarray, frame: av.VideoFrame) -> np.ndarray:
    """Rotate and mirror a frame's image, ``h w c``, as players display it."""
    matrix = _display_matrix(frame)
    if is_turned(frame):
        image, matrix = rearrange(image, "h w c -> w h c"), matrix[::-1]
    return image[:: -1 if matrix[1, 1] < 0 else 1, :: -1 if matrix[0, 0] < 0 else 1]


def _display_matrix(frame: av.VideoFrame) -> np.ndarray:
    """Return the matrix that maps a stored (x, y) to (x, y) @ matrix; ``frame.rotation`` omits mirroring."""
    data = frame.side_data.get("DISPLAYMATRIX")
    return np.eye(2) if data is None else np.frombuffer(data, np.int32).reshape(3, 3)[:2, :2]

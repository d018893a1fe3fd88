"""x-t slices: one row of pixels over time, in which flicker appears as stripes.

Axes: f frames, h height, w width, c colours.
"""

from itertools import pairwise

import numpy as np


def liveliest(video: np.ndarray) -> int:
    """Return the row of a uint8 video ``f h w c`` that changes most over time, or the middle row."""
    changes = np.zeros(video.shape[1], int)
    for before, after in pairwise(video):
        changes += np.abs(after.astype(int) - before).sum(axis=(1, 2))
    return int(changes.argmax()) if changes.any() else video.shape[1] // 2

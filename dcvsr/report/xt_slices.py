"""x-t slices: one line of a video's pixels, frame below frame, where flicker shows as stripes.

Axes: f frames, h height, w width, c colours.
"""

from itertools import pairwise

import numpy as np


def liveliest(video: np.ndarray) -> int:
    """The line of a uint8 video ``f h w c`` that changes most from frame to frame; the middle of a still."""
    changes = np.zeros(video.shape[1], int)
    for before, after in pairwise(video):
        changes += np.abs(after.astype(int) - before).sum(axis=(1, 2))
    return int(changes.argmax()) if changes.any() else video.shape[1] // 2

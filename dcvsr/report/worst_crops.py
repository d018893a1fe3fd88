"""Regions in which two videos differ most.

Axes: f frames, h height, w width, c colours; blocks overlap by half, y down and x across.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CropPlace:
    """Square region of one frame and the difference of ``label`` to its comparison there.

    Args:
        frame: counted from 0.
        top, left, side: pixels.
        difference: mean absolute, in grey levels of 255.
    """

    label: str
    frame: int
    top: int
    left: int
    side: int
    difference: float

    def cut(self, video: np.ndarray) -> np.ndarray:
        """``f h w c`` to ``h w c``."""
        return video[self.frame, self.top : self.top + self.side, self.left : self.left + self.side].copy()


def block_differences(one: np.ndarray, other: np.ndarray, side: int) -> np.ndarray:
    """Mean absolute difference of two uint8 videos ``f h w c`` over every block: ``f y x``."""
    return np.stack([_of_frame(a, b, side) for a, b in zip(one, other, strict=True)])


def worst(
    differences: Mapping[str, np.ndarray], size: tuple[int, int], side: int, count: int
) -> list[CropPlace]:
    """Return the regions, worst first; no two overlap in position, in any frame.

    Args:
        differences: label -> ``f y x``.
        size: height and width of the videos.
        side: side of the blocks in pixels.
        count: largest number of regions.
    """
    labels, left_over = list(differences), np.stack(list(differences.values()))
    tops, lefts = (np.array(starts(length, side)) for length in size)
    places = []
    while len(places) < count and left_over.max() > 0:
        row, frame, y, x = np.unravel_index(left_over.argmax(), left_over.shape)
        difference = float(left_over[row, frame, y, x])
        places.append(CropPlace(labels[row], int(frame), int(tops[y]), int(lefts[x]), side, difference))
        overlapping = np.ix_(abs(tops - tops[y]) < side, abs(lefts - lefts[x]) < side)
        left_over[:, :, *overlapping] = 0
    return places


def starts(length: int, side: int) -> list[int]:
    """Return the starts of half-overlapping blocks along an axis; the last one ends at the border."""
    return [*range(0, length - side, max(side // 2, 1)), length - side]


def _of_frame(one: np.ndarray, other: np.ndarray, side: int) -> np.ndarray:
    """Compute the block differences of a frame by summed-area tables (Crow 1984), exact in integers."""
    import cv2

    sums = cv2.integral(cv2.absdiff(one, other), sdepth=cv2.CV_64F)
    tops, lefts = (np.array(starts(length, side)) for length in one.shape[:2])
    ends = (tops + side, lefts + side), (tops, lefts), (tops + side, lefts), (tops, lefts + side)
    whole, corner, left, above = (sums[np.ix_(*end)].sum(axis=-1) for end in ends)
    return (whole + corner - left - above) / (side**2 * one.shape[-1])

"""Shift between a result and its reference: scores of a shifted result say nothing of its quality.

Axes: f frames, c colours, h w pixels. Shifts are (x, y) in pixels, to the right and down.
"""

from statistics import median

import cv2
import numpy as np
from torch import Tensor

ALLOWED = 0.5
"""Pixels; upsampling that takes the corner of a pixel for its centre is off by 1.5 at a factor of four."""
BLUR = 3.0
"""Standard deviation in pixels: frames are compared by what LR can hold."""
SMALLEST = 32
"""Pixels a side, below which frames are not compared."""
FARTHEST = 0.25
"""Share of a side; beyond it, too little of both frames overlaps."""
STRUCTURE = 0.05
"""Ratio of the structure tensor's eigenvalues; below it, the weaker direction has none (aperture problem)."""
EXPLAINED = 0.3
"""Share of the squared difference that a shift must explain."""
UNALIKE = 1.0
"""Mean squared difference of frames of variance 1, beyond which (correlation 0.5) none is a shifted other."""


def shift(restored: Tensor, reference: Tensor) -> tuple[float, float]:
    """Pixels by which ``restored`` lies right of and below ``reference``, both ``f c h w``.

    The median over frames. Whole pixels come from OpenCV's phase correlation of their brightness, the rest
    from a step of Lucas and Kanade 1981 after a blur. Either part counts only if it explains the difference
    better than no shift does, so a pattern that repeats gives the smaller shift; and only along directions
    with structure. Flat and tiny frames are left out; (0, 0) if all are.
    """
    found = [_shift(*pair) for pair in zip(_brightness(restored), _brightness(reference), strict=True)]
    known = [place for place in found if place is not None]
    if not known:
        return 0.0, 0.0
    x, y = (median(axis) for axis in zip(*known, strict=True))
    return x, y


def _brightness(clip: Tensor) -> np.ndarray:
    return clip.float().mean(dim=1).cpu().numpy()


def _shift(restored: np.ndarray, reference: np.ndarray) -> tuple[float, float] | None:
    if not all(_has_structure(frame) for frame in (restored, reference)):
        return None
    x, y = _whole(restored, reference)
    moved, still = _overlapping(restored, reference, x, y)
    directions = _directions(moved, still)
    x, y = directions @ (directions.T @ (x, y) + _step(moved, still, directions))
    return float(x), float(y)


def _has_structure(frame: np.ndarray) -> bool:
    return min(frame.shape) >= SMALLEST and bool(np.isfinite(frame).all()) and frame.std() >= 1 / 255


def _whole(restored: np.ndarray, reference: np.ndarray) -> tuple[int, int]:
    """The shift in whole pixels, (0, 0) where none explains the difference."""
    window = cv2.createHanningWindow(reference.shape[::-1], cv2.CV_32F)
    place, _ = cv2.phaseCorrelate(reference.copy(), restored.copy(), window)  # it windows them in place
    height, width = reference.shape
    if not (abs(place[0]) <= FARTHEST * width and abs(place[1]) <= FARTHEST * height):
        return 0, 0
    x, y = map(round, place)
    nearer = ((0, 0), (x, 0), (0, y))
    left = _difference(restored, reference, x, y)
    if left > UNALIKE:
        return 0, 0
    # Patterns repeat: a nearer shift that explains nearly as much is the likelier one.
    alike = (near for near in nearer if left > (1 - EXPLAINED) * _difference(restored, reference, *near))
    return next(alike, (x, y))


def _difference(restored: np.ndarray, reference: np.ndarray, x: int, y: int) -> float:
    """Mean squared difference of what overlaps after a shift back by ``x`` and ``y``."""
    moved, still = _overlapping(restored, reference, x, y)
    return float(np.square(moved - still).mean())


def _overlapping(
    restored: np.ndarray, reference: np.ndarray, x: int, y: int
) -> tuple[np.ndarray, np.ndarray]:
    """The part that both show if ``restored`` is shifted by ``x`` and ``y``: blurred, mean 0, variance 1."""
    height, width = reference.shape
    moved = restored[max(y, 0) : height + min(y, 0), max(x, 0) : width + min(x, 0)]
    still = reference[max(-y, 0) : height + min(-y, 0), max(-x, 0) : width + min(-x, 0)]
    blurred = (cv2.GaussianBlur(np.ascontiguousarray(part), (0, 0), BLUR) for part in (moved, still))
    moved, still = ((part - part.mean()) / max(part.std(), 1e-6) for part in blurred)
    return moved, still


def _slopes(moved: np.ndarray, still: np.ndarray) -> np.ndarray:
    """Along x and y, of the mean of both: ``2 pixels``."""
    return np.stack([slope.ravel() for slope in reversed(np.gradient((moved + still) / 2))]).astype(float)


def _directions(moved: np.ndarray, still: np.ndarray) -> np.ndarray:
    """Unit vectors along which the frames have structure: ``2 n``, n 1 or 2."""
    slopes = _slopes(moved, still)
    strength, directions = np.linalg.eigh(slopes @ slopes.T)
    return directions[:, strength >= STRUCTURE * strength.max()]


def _step(moved: np.ndarray, still: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Lucas and Kanade 1981: small s along ``directions`` such that moved(p) = still(p - s): ``n``."""
    slopes = directions.T @ _slopes(moved, still)
    difference = (still - moved).ravel().astype(float)
    step = np.linalg.lstsq(slopes.T, difference, rcond=None)[0]
    left = np.square(difference - step @ slopes).sum()
    return step if left <= (1 - EXPLAINED) * np.square(difference).sum() else np.zeros_like(step)

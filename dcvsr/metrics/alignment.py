"""Whether a result lies where its truth does: scores of what is shifted mean nothing.

Axes: f frames, c colours, h w pixels.
"""

from statistics import median

import cv2
import numpy as np
from torch import Tensor

ALLOWED = 0.5
"""Pixels; enlargements that take the corner of a pixel for its centre are off by 1.5 at a factor of four."""
BLUR = 3.0
"""Pixels, a standard deviation: what is compared is what LR can hold."""


def shift(restored: Tensor, reference: Tensor) -> tuple[float, float]:
    """Pixels by which ``restored`` lies right of and below ``reference``, both ``f c h w``.

    The median over frames: whole pixels by OpenCV's phase correlation of their luma, the rest by a step of
    Lucas and Kanade 1981 on what a blur leaves of it. Frames without structure tell nothing.
    """
    found = [_shift(*pair) for pair in zip(_luma(restored), _luma(reference), strict=True)]
    known = [place for place in found if place is not None]
    if not known:
        return 0.0, 0.0
    x, y = (median(axis) for axis in zip(*known, strict=True))
    return x, y


def _luma(clip: Tensor) -> np.ndarray:
    return clip.float().mean(dim=1).cpu().numpy()


def _shift(restored: np.ndarray, reference: np.ndarray) -> tuple[float, float] | None:
    if min(restored.std(), reference.std()) < 1 / 255:
        return None
    window = cv2.createHanningWindow(reference.shape[::-1], cv2.CV_32F)
    place, _ = cv2.phaseCorrelate(reference.copy(), restored.copy(), window)  # it windows them in place
    x, y = map(round, place)
    dx, dy = _step(_overlap(restored, x, y), _overlap(reference, -x, -y))
    return x + dx, y + dy


def _overlap(image: np.ndarray, x: int, y: int) -> np.ndarray:
    """What is left of an image that is moved left by ``x`` and up by ``y``, where another still shows it."""
    height, width = image.shape
    return image[max(y, 0) : height + min(y, 0), max(x, 0) : width + min(x, 0)]


def _step(restored: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Lucas and Kanade 1981: the small shift that makes restored(p) = reference(p - shift)."""
    blurred = (cv2.GaussianBlur(image, (0, 0), BLUR) for image in (restored, reference))
    moved, still = ((image - image.mean()) / image.std() for image in blurred)
    slopes = np.stack([slope.ravel() for slope in reversed(np.gradient((moved + still) / 2))])
    x, y = np.linalg.lstsq(slopes.T, (still - moved).ravel(), rcond=None)[0]
    return float(x), float(y)

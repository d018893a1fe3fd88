"""Estimation of the shift between a result and its reference; scores of a shifted result are meaningless.

Axes: f frames, c colours, h w pixels. Shifts are (x, y) in pixels, to the right and down.
"""

from statistics import median

import cv2
import numpy as np
from torch import Tensor

TOLERANCE = 0.5
"""Accepted shift in pixels. Upsampling x4 with corners taken for pixel centres shifts by 1.5 pixels."""
BLUR = 3.0
"""Standard deviation in pixels of the blur that limits the comparison to frequencies which LR holds."""
MIN_SIDE = 32
"""Shortest side in pixels of the frames that are compared."""
MAX_FRACTION = 0.25
"""Largest shift as a share of the side; beyond it, the frames overlap too little."""
MIN_STRUCTURE = 0.05
"""Smallest ratio of the structure tensor's eigenvalues at which the weaker direction is used.

Below it, the shift along that direction is undetermined (aperture problem).
"""
MIN_EXPLAINED = 0.3
"""Share of the squared difference that a shift must remove."""
MAX_DIFFERENCE = 1.0
"""Largest mean squared difference of frames of variance 1 at which a shift is reported: correlation 0.5."""


def shift(restored: Tensor, reference: Tensor) -> tuple[float, float]:
    """Estimate the pixels by which ``restored`` lies right of and below ``reference``, both ``f c h w``.

    Returns the median over frames. Phase correlation of brightness (OpenCV) gives whole pixels; one step of
    Lucas and Kanade 1981 on blurred frames gives the fraction. Each part counts only if it explains the
    difference better than no shift does, so a repeating pattern gives the smaller shift. Each part counts
    only along directions with structure. Flat and tiny frames are skipped; (0, 0) if all frames are skipped.
    """
    shifts = [_shift(*pair) for pair in zip(_brightness(restored), _brightness(reference), strict=True)]
    known = [each for each in shifts if each is not None]
    if not known:
        return 0.0, 0.0
    x, y = (median(axis) for axis in zip(*known, strict=True))
    return x, y


def _brightness(clip: Tensor) -> np.ndarray:
    return clip.float().mean(dim=1).cpu().numpy()


def _shift(restored: np.ndarray, reference: np.ndarray) -> tuple[float, float] | None:
    if not all(_has_structure(frame) for frame in (restored, reference)):
        return None
    x, y = _whole_pixels(restored, reference)
    moved, still = _overlapping(restored, reference, x, y)
    directions = _directions(moved, still)
    x, y = directions @ (directions.T @ (x, y) + _subpixel_step(moved, still, directions))
    return float(x), float(y)


def _has_structure(frame: np.ndarray) -> bool:
    return min(frame.shape) >= MIN_SIDE and bool(np.isfinite(frame).all()) and frame.std() >= 1 / 255


def _whole_pixels(restored: np.ndarray, reference: np.ndarray) -> tuple[int, int]:
    """Estimate the shift in whole pixels; (0, 0) if no shift explains the difference."""
    window = cv2.createHanningWindow(reference.shape[::-1], cv2.CV_32F)
    peak, _ = cv2.phaseCorrelate(
        reference.copy(), restored.copy(), window
    )  # phaseCorrelate overwrites its arguments
    height, width = reference.shape
    if not (abs(peak[0]) <= MAX_FRACTION * width and abs(peak[1]) <= MAX_FRACTION * height):
        return 0, 0
    x, y = map(round, peak)
    smaller = ((0, 0), (x, 0), (0, y))
    residual = _difference(restored, reference, x, y)
    if residual > MAX_DIFFERENCE:
        return 0, 0
    # Repeating patterns match at several shifts: prefer a smaller shift that explains nearly as much.
    equivalent = (
        near for near in smaller if residual > (1 - MIN_EXPLAINED) * _difference(restored, reference, *near)
    )
    return next(equivalent, (x, y))


def _difference(restored: np.ndarray, reference: np.ndarray, x: int, y: int) -> float:
    """Compute the mean squared difference of the overlap after shifting ``restored`` back."""
    moved, still = _overlapping(restored, reference, x, y)
    return float(np.square(moved - still).mean())


def _overlapping(
    restored: np.ndarray, reference: np.ndarray, x: int, y: int
) -> tuple[np.ndarray, np.ndarray]:
    """Crop both frames to their overlap at shift ``x``, ``y``; blur, then scale to mean 0 and variance 1."""
    height, width = reference.shape
    moved = restored[max(y, 0) : height + min(y, 0), max(x, 0) : width + min(x, 0)]
    still = reference[max(-y, 0) : height + min(-y, 0), max(-x, 0) : width + min(-x, 0)]
    blurred = (cv2.GaussianBlur(np.ascontiguousarray(part), (0, 0), BLUR) for part in (moved, still))
    moved, still = ((part - part.mean()) / max(part.std(), 1e-6) for part in blurred)
    return moved, still


def _slopes(moved: np.ndarray, still: np.ndarray) -> np.ndarray:
    """Compute the gradient along x and y of the mean of both frames: ``2 pixels``."""
    return np.stack([slope.ravel() for slope in reversed(np.gradient((moved + still) / 2))]).astype(float)


def _directions(moved: np.ndarray, still: np.ndarray) -> np.ndarray:
    """Return unit vectors along which the frames have structure: ``2 n``, n is 1 or 2."""
    slopes = _slopes(moved, still)
    strength, directions = np.linalg.eigh(slopes @ slopes.T)
    return directions[:, strength >= MIN_STRUCTURE * strength.max()]


def _subpixel_step(moved: np.ndarray, still: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Solve moved(p) = still(p - s) for a small s along ``directions`` (Lucas and Kanade 1981): ``n``."""
    slopes = directions.T @ _slopes(moved, still)
    difference = (still - moved).ravel().astype(float)
    step = np.linalg.lstsq(slopes.T, difference, rcond=None)[0]
    residual = np.square(difference - step @ slopes).sum()
    return step if residual <= (1 - MIN_EXPLAINED) * np.square(difference).sum() else np.zeros_like(step)

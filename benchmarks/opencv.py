"""The reference: the same degradations frame by frame with OpenCV and numpy, from the same drawn parameters.

Random walks are ours. Video is coded as in mmagic: by PyAV, as MP4 in memory, with x264's macroblock tree.
Noise comes from numpy's `Generator`, which is faster than its older `RandomState`.
Axes: frames are ``h w c`` float32 in [0, 1]; gray noise is ``h w``.
"""

import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from random import Random

import av
import cv2
import numpy as np
from numpy.random import default_rng
from scipy.special import j1

from dcvsr.degradation.walk import Params, walked

Frame = np.ndarray
Frames = Iterable[Frame]
Video = Callable[[Params, Frames], Frames]
"""Codes and decodes a clip whose frames may differ in size, at the first one's size."""

INTERPOLATIONS: Mapping[str, int] = {
    "bilinear": cv2.INTER_LINEAR,
    "area": cv2.INTER_AREA,
    "bicubic": cv2.INTER_CUBIC,
}


def degraded(params: Params, frames: Frames, video: Video) -> list[Frame]:
    """Result of `Degradation.apply` on a clip with these parameters, but for noise, and for x264."""
    return [_unit(_bytes(frame)) for frame in applied(params, frames, video)]


def applied(params: Params, frames: Frames, video: Video) -> Frames:
    """Steps in the order of their names; a step without parameters is left out."""
    for name, drawn in params.items():
        step = name.rstrip("12")
        if drawn is None:
            continue
        if step in ("last", "reduce"):
            frames = applied(drawn, frames, video)
        elif step == "video":
            frames = video(drawn, frames)
        else:
            frames = STEPS[step](drawn, frames)
    return frames


def sharpened(params: Params, frames: Frames) -> Iterator[Frame]:
    """UnsharpMasking of mmagic, which filters by the full 51x51 kernel."""
    taps = cv2.getGaussianKernel(51, 8)
    kernel = taps @ taps.T
    for frame in frames:
        residue = frame - cv2.filter2D(frame, -1, kernel)
        mask = cv2.filter2D((np.abs(residue) > 10 / 255).astype(np.float32), -1, kernel)
        yield mask * np.clip(frame + 0.5 * residue, 0, 1) + (1 - mask) * frame


def blurred(params: Params, frames: Frames) -> Iterator[Frame]:
    for frame, kernel in zip(frames, kernels(params), strict=False):
        yield cv2.filter2D(frame, -1, kernel)


def kernels(params: Params) -> Iterator[np.ndarray]:
    """The kernels of a clip, without end."""
    taps = np.arange(params["size"]) - params["size"] // 2
    x, y = np.meshgrid(taps, taps)
    jitter = Random(params.get("beta_seed", 0))
    walks = [name for name, drawn in params.items() if isinstance(drawn, dict)]
    for values in zip(*(walked(params[name]) for name in walks), strict=True):
        kernel = _kernel(params["kind"], x, y, dict(zip(walks, values, strict=True)), jitter)
        yield (kernel / kernel.sum()).astype(np.float32)


def _kernel(kind: str, x: np.ndarray, y: np.ndarray, drawn: Params, jitter: Random) -> np.ndarray:
    if kind == "sinc":
        r = np.hypot(x, y)
        r[r == 0] = 1e-6
        return j1(drawn["omega"] * r) * drawn["omega"] / (2 * math.pi * r)
    angle, sigma_x = drawn.get("angle", 0), drawn["sigma_x"]
    along, across = math.cos(angle) * x + math.sin(angle) * y, math.cos(angle) * y - math.sin(angle) * x
    r2 = (along / sigma_x) ** 2 + (across / drawn.get("sigma_y", sigma_x)) ** 2
    if "beta_plateau" in drawn:
        return 1 / (1 + r2 ** (1 + jitter.random() * (drawn["beta_plateau"] - 1)))
    if "beta_gaussian" in drawn:
        return np.exp(-(r2 ** (1 + jitter.random() * (drawn["beta_gaussian"] - 1))) / 2)
    return np.exp(-r2 / 2)


def resized(params: Params, frames: Frames) -> Iterator[Frame]:
    scales = walked(params["scale"]) if "scale" in params else count()
    first: tuple[int, int] | None = None
    for frame, scale in zip(frames, scales, strict=False):
        first = first or frame.shape[:2]
        height, width = params.get("size") or (max(2, 2 * int(side * scale / 2)) for side in first)
        yield cv2.resize(frame, (width, height), interpolation=INTERPOLATIONS[params["kernel"]])


def noised(params: Params, frames: Frames) -> Iterator[Frame]:
    noise, rng = NOISES[params["kind"]], default_rng(params["seed"])
    for frame, strength in zip(frames, walked(params["strength"]), strict=False):
        if params["colours"] == "gray":
            gray = noise(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), strength, rng)
            yield frame + cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB)
        else:
            yield frame + noise(frame, strength, rng)


def gaussian(seen: Frame, sigma: float, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal(seen.shape, np.float32) * np.float32(sigma / 255)


def poisson(seen: Frame, scale: float, rng: np.random.Generator) -> np.ndarray:
    levels = _bytes(seen)
    different = int(np.count_nonzero(np.bincount(levels.ravel(), minlength=256)))
    photons = 2 ** (different - 1).bit_length()
    signal = _unit(levels)
    counted = rng.poisson(signal * photons).astype(np.float32)
    return (counted / np.float32(photons) - signal) * np.float32(scale)


def compressed(params: Params, frames: Frames) -> Iterator[Frame]:
    for frame, quality in zip(frames, walked(params["quality"]), strict=False):
        image = cv2.cvtColor(_bytes(frame), cv2.COLOR_RGB2BGR)
        _, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, round(quality)])
        decoded = cv2.imdecode(code, cv2.IMREAD_COLOR)
        assert decoded is not None
        yield _unit(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB))


def coded(params: Params, frames: Frames) -> Iterator[Frame]:
    """RandomVideoCompression of mmagic, on as many threads as OpenCV has; PyAV joins ragged frames."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", "mp4") as container:
        stream = None
        for frame in frames:
            if stream is None:
                stream = container.add_stream(params["codec"], rate=1)
                stream.height, stream.width, _ = frame.shape
                stream.pix_fmt, stream.bit_rate = "yuv420p", params["bit_rate"]
                stream.thread_count = cv2.getNumThreads()
            container.mux(stream.encode(av.VideoFrame.from_ndarray(_bytes(frame), format="rgb24")))
        if stream is not None:
            container.mux(stream.encode())
    with av.open(buffer, "r", "mp4") as container:
        for decoded in container.decode(video=0):
            yield _unit(decoded.to_ndarray(format="rgb24"))


def rounded(params: Params, frames: Frames) -> Iterator[Frame]:
    """No codec: resized and rounded to eight bits."""
    return (_unit(_bytes(frame)) for frame in _joined(frames))


def _joined(frames: Frames) -> Iterator[Frame]:
    first: tuple[int, int] | None = None
    for frame in frames:
        height, width = first = first or frame.shape[:2]
        yield (
            frame
            if frame.shape[:2] == first
            else cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)
        )


def _bytes(frame: Frame) -> np.ndarray:
    return np.clip(np.rint(frame * 255), 0, 255).astype(np.uint8)


def _unit(image: np.ndarray) -> Frame:
    return image.astype(np.float32) / 255


NOISES: Mapping[str, Callable[[Frame, float, np.random.Generator], np.ndarray]] = {
    "gaussian": gaussian,
    "poisson": poisson,
}
STEPS: Mapping[str, Callable[[Params, Frames], Iterator[Frame]]] = {
    "sharpen": sharpened,
    "blur": blurred,
    "sinc": blurred,
    "resize": resized,
    "noise": noised,
    "jpeg": compressed,
}

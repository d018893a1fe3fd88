"""The degradation against the same steps frame by frame in OpenCV and numpy, on 14 frames of 512x512.

Axes: clips ``f c h w``; the reference's frames ``h w c``.
"""

from collections.abc import Iterator

import cv2
import numpy as np
import torch
from einops import rearrange
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor

from benchmarks import opencv
from benchmarks.report import Line
from benchmarks.timing import Ratio, speedup
from dcvsr.data.clips import VideoClip
from dcvsr.data.packaged import packaged
from dcvsr.degradation.pipeline import Degradation
from dcvsr.degradation.seeds import generator
from dcvsr.degradation.walk import Params
from dcvsr.imaging import to_unit
from dcvsr.runtime.cli import CONF

FRAMES, SIDE, DRAWS = 14, 512, 8
STEPS = {"sharpen": "unsharp mask", "blur1": "blur", "resize1": "resize", "noise1": "noise", "jpeg1": "JPEG"}
NO_SLOWER = {"blur1", "noise1"}


def degradation(device: str, pairs: int) -> Iterator[Line]:
    """Each step of RealBasicVSR's first round, the whole without and with the codec, and its share.

    Each is the sum over ``DRAWS`` draws of its parameters. OpenCV gets as many threads as torch has.
    """
    cv2.setNumThreads(torch.get_num_threads())
    hr = to_unit(VideoClip(packaged("bigbuckbunny"), "outputs/cache").read(0, FRAMES))
    hr = hr[..., :SIDE, :SIDE].contiguous()
    images = [np.ascontiguousarray(rearrange(frame, "c h w -> h w c").numpy()) for frame in hr]
    clip, gpu = hr.to(device), device == "cuda"
    plain, coded = _configured("none"), _configured("pyav")

    def ratio(drawn: list[Params], ours: Degradation = plain, video: opencv.Video = opencv.rounded) -> Ratio:
        return speedup(
            lambda: [opencv.degraded(params, images, video) for params in drawn],
            lambda: _degraded(ours, drawn, clip),
            pairs,
        )

    for name, told in STEPS.items():
        drawn = [{name: plain.steps[name].draw(generator(name, i), clip.shape)} for i in range(DRAWS)]
        target = 10.0 if gpu else 1.0 if name in NO_SLOWER else None
        yield Line(f"{told}, times as fast as OpenCV", ratio(drawn), target)
    drawn = [plain.draw(generator("whole", i), clip.shape) for i in range(DRAWS)]
    yield Line("all but the codec, times as fast as OpenCV", ratio(drawn), 10.0 if gpu else 1 / 1.2)
    whole = ratio(drawn, coded, opencv.coded)
    yield Line("the whole, times as fast as OpenCV and mmagic's codec", whole, None if gpu else 1 / 0.8)
    codec = speedup(lambda: _degraded(coded, drawn, clip), lambda: _degraded(plain, drawn, clip), pairs)
    yield Line("the codec's share of the whole", 1 - 1 / codec.value)


def _configured(codec: str) -> Degradation:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("degrade", ["input=", "output=", f"degradation.codec={codec}"])
    return instantiate(cfg.degradation, _convert_="all")


def _degraded(degradation: Degradation, drawn: list[Params], clip: Tensor) -> None:
    for params in drawn:
        list(degradation.frames(params, clip))

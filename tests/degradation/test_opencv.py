"""The reference that degradations are timed against does the same work."""

from typing import Any

import numpy as np
import pytest
from einops import rearrange
from torch import Tensor

from benchmarks import opencv
from dcvsr.degradation.codec import PyAV
from dcvsr.degradation.seeds import generator
from tests.degradation.making import configured

CLOSE = {"sharpen": 45, "blur1": 55, "resize1": 80, "jpeg1": 35}
"""Step -> dB between OpenCV's result and ours; JPEG's is that of two libjpegs."""


def both(drawn: dict[str, Any], clip: Tensor) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """OpenCV's frames and ours, ``h w c``."""
    ours = configured("realbasicvsr", "degradation.codec=none").frames(drawn, clip)
    images = [rearrange(frame, "c h w -> h w c").numpy() for frame in clip]
    reference = opencv.degraded(drawn, [np.ascontiguousarray(image) for image in images], opencv.rounded)
    return reference, [rearrange(frame, "c h w -> h w c").numpy() for frame in ours]


def drawn(step: str, number: int, clip: Tensor) -> dict[str, Any]:
    return {step: configured("realbasicvsr").steps[step].draw(generator(step, number), clip.shape)}


@pytest.mark.parametrize("step", CLOSE)
def test_a_step_does_what_ours_does(step: str, real_clip: Tensor) -> None:
    for number in range(8):
        for there, here in zip(*both(drawn(step, number, real_clip), real_clip), strict=True):
            assert -10 * np.log10(np.square(there - here).mean() + 1e-10) > CLOSE[step]


def test_noise_is_as_strong(real_clip: Tensor) -> None:
    images = rearrange(real_clip, "f c h w -> f h w c").numpy()
    for number in range(8):
        noises = [np.stack(frames) - images for frames in both(drawn("noise1", number, real_clip), real_clip)]
        assert noises[0].std() == pytest.approx(noises[1].std(), rel=0.03)


@pytest.mark.parametrize(("codec", "decibels"), [("libx264", 30), ("mpeg4", 45)])
def test_the_reference_codes_what_ours_codes(codec: str, decibels: float, real_clip: Tensor) -> None:
    """The reference has x264's macroblock tree, and more than one thread codes frames in slices."""
    params = {"codec": codec, "bit_rate": 30000}
    images = [np.ascontiguousarray(rearrange(frame, "c h w -> h w c").numpy()) for frame in real_clip]
    there = np.stack(list(opencv.coded(params, images)))
    here = np.stack([rearrange(frame, "c h w -> h w c").numpy() for frame in PyAV()(params, real_clip)])
    assert there.shape == here.shape
    assert -10 * np.log10(np.square(there - here).mean() + 1e-10) > decibels


def test_the_whole_is_the_whole(real_clip: Tensor) -> None:
    degradation = configured("realbasicvsr")
    for number in range(4):
        reference, ours = both(degradation.draw(generator(number), real_clip.shape), real_clip)
        assert [frame.shape for frame in reference] == [frame.shape for frame in ours]
        means = [np.stack(frames).mean(axis=(0, 1, 2)) for frames in (reference, ours)]
        np.testing.assert_allclose(*means, atol=0.01)

"""Resampling: OpenCV's own on a CPU, OpenCV's semantics on any device, and Pillow's antialiased kernels."""

from collections.abc import Iterable, Iterator
from itertools import islice

import cv2
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from dcvsr.degradation.resample import KERNELS, Antialiased, OpenCV, Resample, by_matrices, by_opencv
from dcvsr.degradation.resize import Reduce, Resize
from dcvsr.degradation.steps import InTurn, Step
from dcvsr.degradation.walk import Walk, walked
from tests.degradation.making import clip, configured, psnr

INTERPOLATIONS = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC, "area": cv2.INTER_AREA}
HALF_A_LEVEL = 0.5 / 255
FACTORS = [(0.15, 0.2), (0.5, 0.7), (0.93, 1.07), (1.5, 1.3)]
RESAMPLES = [OpenCV(), Antialiased()]
side = st.integers(1, 70)


def reference(frame: Tensor, size: tuple[int, int], kernel: str) -> Tensor:
    """RealBasicVSR's call: cv2.resize of float32 ``h w c`` from 0 to 255."""
    image = np.ascontiguousarray((255 * frame).permute(1, 2, 0).numpy())
    resized = cv2.resize(image, size[::-1], interpolation=INTERPOLATIONS[kernel])
    return torch.from_numpy(resized).permute(2, 0, 1) / 255


@pytest.mark.parametrize("resize", [by_opencv, by_matrices])
@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=60)
@given(before=st.tuples(side, side), after=st.tuples(side, side), seed=st.integers(0, 9))
@example(before=(64, 48), after=(32, 24), seed=0)  # OpenCV averages blocks where the factor is whole,
@example(before=(20, 30), after=(40, 60), seed=0)  # repeats pixels where "area" upsamples by a whole factor,
@example(before=(20, 30), after=(41, 59), seed=0)  # interpolates near their borders where by another,
@example(before=(40, 30), after=(23, 41), seed=0)  # and likewise where "area" reduces one side alone.
@example(before=(1, 1), after=(5, 3), seed=0)
@example(before=(5, 3), after=(1, 1), seed=0)
@example(before=(60, 44), after=(59, 44), seed=0)
def test_every_size_becomes_every_size_as_in_opencv_to_half_a_level(
    resize: Resample, kernel: str, before: tuple[int, int], after: tuple[int, int], seed: int
) -> None:
    frame = torch.rand(3, *before, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(
        resize(frame, after, kernel), reference(frame, after, kernel), atol=HALF_A_LEVEL, rtol=0
    )


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("size", [(90, 160), (301, 517), (720, 1280), (1080, 1920)])
def test_matrices_are_opencv_s_at_the_size_of_video(kernel: str, size: tuple[int, int]) -> None:
    frame = clip(1, 360, 640)[0]
    difference = by_matrices(frame, size, kernel) - reference(frame, size, kernel)
    assert difference.abs().max() < HALF_A_LEVEL


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_cpu_runs_opencv_and_other_devices_matrices(kernel: str) -> None:
    frame = clip(1, 36, 44)[0]
    assert torch.equal(OpenCV()(frame, (20, 24), kernel), by_opencv(frame, (20, 24), kernel))
    elsewhere = OpenCV()(frame.to("meta"), (20, 24), kernel)
    assert (elsewhere.device.type, elsewhere.shape, elsewhere.dtype) == ("meta", (3, 20, 24), torch.float32)


@pytest.mark.parametrize("kernel", KERNELS)
def test_ragged_frames_of_one_clip_are_opencv_s(kernel: str) -> None:
    resize = Resize(0.2, 0.7, 0.1, Walk(0.15, 1.5, 0.2), {kernel: 1}, "opencv")
    for start in (0.3, 1.0, 1.4):
        drawn = {"kernel": kernel, "scale": resize.scale.draw_from(torch.Generator().manual_seed(1), start)}
        frames = clip(8, 64, 48)
        for frame, there, scale in zip(
            frames, resize.apply(drawn, frames), islice(walked(drawn["scale"]), 8), strict=True
        ):
            size = 2 * int(64 * scale / 2), 2 * int(48 * scale / 2)
            assert there.shape[1:] == size
            torch.testing.assert_close(there, reference(frame, size, kernel), atol=HALF_A_LEVEL, rtol=0)


@pytest.mark.parametrize("resize", [by_opencv, by_matrices])
def test_an_area_upsampling_by_a_whole_factor_repeats_pixels(resize: Resample) -> None:
    frame = clip(1, 10, 12)[0]
    repeated = frame.repeat_interleave(3, dim=1).repeat_interleave(2, dim=2)
    torch.testing.assert_close(resize(frame, (30, 24), "area"), repeated)


@pytest.mark.parametrize("kernel", ["bilinear", "bicubic"])
def test_only_the_antialiased_take_out_detail_that_lr_cannot_hold(kernel: str) -> None:
    stripes = (torch.arange(66) % 3 == 0).float().expand(3, 66, 66)
    spread = {type(r): r(stripes, (16, 16), kernel).std() for r in RESAMPLES}
    assert spread[OpenCV] > 0.2
    assert spread[Antialiased] < 0.1


@pytest.mark.parametrize("factors", FACTORS)
@pytest.mark.parametrize(("kernel", "pillow"), [("bilinear", Image.BILINEAR), ("bicubic", Image.BICUBIC)])
def test_antialiased_kernels_are_pillow_s(
    real_clip: Tensor, kernel: str, pillow: Image.Resampling, factors: tuple[float, float]
) -> None:
    height, width = (round(side * f) for side, f in zip(real_clip.shape[2:], factors, strict=True))
    expected = [
        np.asarray(Image.fromarray(plane.numpy()).resize((width, height), pillow)) for plane in real_clip[0]
    ]
    resized = Antialiased()(real_clip[0], (height, width), kernel)
    np.testing.assert_allclose(resized.numpy(), np.stack(expected), atol=3e-5)


@pytest.mark.parametrize("resample", RESAMPLES)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("size", [(2, 2), (17, 90), (64, 48), (150, 31)])
def test_a_flat_frame_stays_flat(resample: Resample, kernel: str, size: tuple[int, int]) -> None:
    flat = resample(torch.full((3, 64, 48), 0.3), size, kernel)
    torch.testing.assert_close(flat, torch.full((3, *size), 0.3))


@pytest.mark.parametrize("resample", RESAMPLES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_upsampled_and_reduced_again_a_frame_is_nearly_itself(
    real_clip: Tensor, resample: Resample, kernel: str
) -> None:
    frame = real_clip[0]
    height, width = frame.shape[1:]
    there = resample(frame, (2 * height, 2 * width), kernel)
    assert psnr(resample(there, (height, width), kernel), frame) > 30


@pytest.mark.parametrize("resample", RESAMPLES)
def test_the_same_size_is_the_same_frame(resample: Resample) -> None:
    frame = clip(1, 8, 8)[0]
    assert all(resample(frame, (8, 8), kernel) is frame for kernel in KERNELS)


@pytest.mark.parametrize(
    ("name", "resample"), [("realbasicvsr", "opencv"), ("light", "antialiased"), ("bicubic", "antialiased")]
)
def test_every_resize_of_a_degradation_is_of_one_kind(name: str, resample: str) -> None:
    """The shipped nano was trained on antialiased LR."""
    assert {step.resample for step in resizes(configured(name).steps.values())} == {resample}


def test_antialiasing_is_an_option() -> None:
    for name in ("realbasicvsr", "light"):
        for resample in ("opencv", "antialiased"):
            steps = configured(name, f"degradation.resample={resample}").steps.values()
            assert {step.resample for step in resizes(steps)} == {resample}


def resizes(steps: Iterable[Step]) -> Iterator[Resize | Reduce]:
    for step in steps:
        if isinstance(step, InTurn):
            yield from resizes(step.steps.values())
        elif isinstance(step, Resize | Reduce):
            yield step

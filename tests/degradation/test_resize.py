"""Resizing: Pillow's kernels, OpenCV's areas, and factors that walk."""

from collections.abc import Sequence
from itertools import islice

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dcvsr.degradation.resize import KERNELS, Reduce, Resize, resized
from dcvsr.degradation.walk import Params, Walk, walked
from tests.degradation.making import clip, drawn_as_often, psnr, rng, uniform_between

RESIZE = Resize(0.2, 0.7, 0.1, Walk(0.15, 1.5, 0.1), {"bilinear": 1, "area": 1, "bicubic": 1})
SHAPE = (3, 3, 64, 48)
FACTORS = [(0.15, 0.2), (0.5, 0.7), (0.93, 1.07), (1.5, 1.3)]


def params(kernel: str = "bilinear", start: float = 1.0, step: float = 0.0, seed: int = 0) -> Params:
    return {"kernel": kernel, "scale": {"start": start, "step": step, "low": 0.15, "high": 1.5, "seed": seed}}


def scaled(frame: Tensor, factors: tuple[float, float]) -> tuple[int, int]:
    height, width = (round(side * factor) for side, factor in zip(frame.shape[1:], factors, strict=True))
    return height, width


def planes(frame: Tensor) -> np.ndarray:
    return np.ascontiguousarray(frame.permute(1, 2, 0).numpy())


@pytest.mark.parametrize("factors", FACTORS)
@pytest.mark.parametrize(("kernel", "pillow"), [("bilinear", Image.BILINEAR), ("bicubic", Image.BICUBIC)])
def test_bilinear_and_bicubic_are_pillow_s(
    footage: Tensor, kernel: str, pillow: Image.Resampling, factors: tuple[float, float]
) -> None:
    """Antialiased when they reduce; OpenCV's, which RealBasicVSR calls, are not."""
    frame = footage[0]
    height, width = scaled(frame, factors)
    reference = [
        np.asarray(Image.fromarray(plane.numpy()).resize((width, height), pillow)) for plane in frame
    ]
    np.testing.assert_allclose(
        resized(frame, (height, width), kernel).numpy(), np.stack(reference), atol=3e-5
    )


@pytest.mark.parametrize("size", [(72, 88), (48, 44), (36, 22), (288, 528)])
def test_area_is_opencv_s_where_pixels_divide_evenly(footage: Tensor, size: tuple[int, int]) -> None:
    result = resized(footage[0], size, "area")
    reference = cv2.resize(planes(footage[0]), size[::-1], interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(planes(result), reference, atol=1e-6)


def test_bilinear_enlargement_is_opencv_s(footage: Tensor) -> None:
    reference = cv2.resize(planes(footage[0]), (200, 150), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(planes(resized(footage[0], (150, 200), "bilinear")), reference, atol=3e-5)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("size", [(2, 2), (17, 90), (64, 48), (150, 31)])
def test_a_flat_frame_stays_flat(kernel: str, size: tuple[int, int]) -> None:
    flat = resized(torch.full(SHAPE[1:], 0.3), size, kernel)
    torch.testing.assert_close(flat, torch.full((3, *size), 0.3))


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_mirrored_frame_is_resized_to_its_mirror_image(kernel: str) -> None:
    frame = clip(1, 64, 48)[0]
    mirrored = resized(frame.flip(1, 2), (40, 50), kernel).flip(1, 2)
    torch.testing.assert_close(resized(frame, (40, 50), kernel), mirrored, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kernel", KERNELS)
def test_enlarged_and_reduced_again_a_frame_is_nearly_itself(footage: Tensor, kernel: str) -> None:
    frame = footage[0]
    height, width = frame.shape[1:]
    there = resized(frame, (2 * height, 2 * width), kernel)
    assert psnr(resized(there, (height, width), kernel), frame) > 30


@pytest.mark.parametrize("kernel", KERNELS)
def test_frames_follow_the_walk_from_the_first_frame_s_size_to_even_sizes(kernel: str) -> None:
    drawn = params(kernel, start=0.7, step=0.2)
    frames = list(RESIZE.apply(drawn, clip(30, 64, 48)))
    factors = list(islice(walked(drawn["scale"]), 30))
    assert len({frame.shape for frame in frames}) > 10
    for frame, factor in zip(frames, factors, strict=True):
        for side, before in zip(frame.shape[1:], (64, 48), strict=True):
            assert side % 2 == 0
            assert before * factor - 2 < side <= before * factor


def test_the_first_frame_s_size_counts_where_frames_differ() -> None:
    frames = [clip(1, *size)[0] for size in [(64, 48), (32, 60)]]
    assert [frame.shape[1:] for frame in RESIZE.apply(params(start=0.5), frames)] == [(32, 24), (32, 24)]


def test_a_factor_of_one_is_no_resize() -> None:
    frames = clip(2, 64, 48)
    assert all(
        torch.equal(one, other) for one, other in zip(frames, RESIZE.apply(params(), frames), strict=True)
    )


def test_something_always_remains() -> None:
    assert [frame.shape for frame in RESIZE.apply(params(start=0.15), clip(1, 4, 5))] == [(3, 2, 2)]


def test_modes_kernels_and_factors_are_drawn_as_asked() -> None:
    source = rng()
    drawn = [RESIZE.draw(source, SHAPE) for _ in range(4000)]
    starts = [each["scale"]["start"] for each in drawn]
    assert drawn_as_often((np.sign(start - 1) for start in starts), {1.0: 0.2, -1.0: 0.7, 0.0: 0.1})
    assert uniform_between((start for start in starts if start > 1), 1, 1.5)
    assert uniform_between((start for start in starts if start < 1), 0.15, 1)
    assert drawn_as_often((each["kernel"] for each in drawn), {"bilinear": 1, "area": 1, "bicubic": 1})


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("size", [(64, 48), (9, 100), (16, 12)])
def test_a_reduction_reaches_hr_by_its_factor_whatever_the_size_now(
    factor: int, size: tuple[int, int]
) -> None:
    reduce = Reduce(factor, {"bicubic": 1})
    drawn = reduce.draw(rng(), SHAPE)
    sizes = {tuple(frame.shape) for frame in reduce.apply(drawn, clip(2, *size))}
    assert sizes == {(3, 64 // factor, 48 // factor)}


def test_kernels_that_do_not_exist_are_refused_by_name() -> None:
    kernels: Sequence[str] = ("lanczos", "area")
    for make in (lambda k: Reduce(4, k), lambda k: Resize(1, 1, 1, Walk(0.5, 2, 0), k)):
        with pytest.raises(ValueError, match="cannot resize by lanczos; choose from bilinear, bicubic, area"):
            make(dict.fromkeys(kernels, 1.0))

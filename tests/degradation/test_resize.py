"""Resizing: factors that walk, even sizes, and the LR size."""

from collections.abc import Sequence
from itertools import islice

import numpy as np
import pytest
import torch

from dcvsr.degradation.resample import KERNELS, RESAMPLES, ResampleName
from dcvsr.degradation.resize import Reduce, Resize
from dcvsr.degradation.walk import Params, Walk, walked
from tests.degradation.making import clip, drawn_as_often, rng, uniform_between

RESIZE = Resize(0.2, 0.7, 0.1, Walk(0.15, 1.5, 0.1), {"bilinear": 1, "area": 1, "bicubic": 1}, "opencv")
SHAPE = (3, 3, 64, 48)


def params(kernel: str = "bilinear", start: float = 1.0, step: float = 0.0, seed: int = 0) -> Params:
    return {"kernel": kernel, "scale": {"start": start, "step": step, "low": 0.15, "high": 1.5, "seed": seed}}


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


@pytest.mark.parametrize("resample", RESAMPLES)
@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("size", [(64, 48), (9, 100), (16, 12)])
def test_a_reduction_reaches_hr_by_its_factor_whatever_the_size_now(
    factor: int, size: tuple[int, int], resample: ResampleName
) -> None:
    reduce = Reduce(factor, {"bicubic": 1}, resample)
    drawn = reduce.draw(rng(), SHAPE)
    sizes = {tuple(frame.shape) for frame in reduce.apply(drawn, clip(2, *size))}
    assert sizes == {(3, 64 // factor, 48 // factor)}


def test_kernels_that_do_not_exist_are_refused_by_name() -> None:
    kernels: Sequence[str] = ("lanczos", "area")
    for make in (lambda k: Reduce(4, k, "opencv"), lambda k: Resize(1, 1, 1, Walk(0.5, 2, 0), k, "opencv")):
        with pytest.raises(ValueError, match="unknown kernel lanczos; choose from bilinear, bicubic, area"):
            make(dict.fromkeys(kernels, 1.0))

"""Blur: one kind and size of kernel for a clip, whose shape walks over its frames."""

from dataclasses import replace
from itertools import islice
from math import log

import cv2
import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from dcvsr.degradation import blur_kernels
from dcvsr.degradation.blur import KINDS, Blur, Sinc, drawn_kernels
from dcvsr.degradation.walk import Params, Walk, walked
from tests.comparing import apart
from tests.degradation.making import clip, drawn_as_often, rng, uniform_between

BLUR = Blur(
    kinds=dict.fromkeys(KINDS, 1.0),
    smallest=7,
    largest=21,
    sigma_x=Walk(0.2, 3, 0.3),
    sigma_y=Walk(0.2, 3, 0.3),
    angle=Walk(-3, 3, 0.3),
    beta_gaussian=Walk(0.5, 4, 0.5),
    beta_plateau=Walk(1, 2, 0.3),
    omega_small=Walk(1, 1.5, 0.1),
    omega_large=Walk(2, 3, 0.1),
)


def drawn(kind: str, seed: int = 0, largest: int = 21) -> Params:
    return replace(BLUR, kinds={kind: 1}, largest=largest).draw(rng(seed), (1, 3, 64, 64))


def values(params: Params, name: str, count: int = 5) -> list[float]:
    return list(islice(walked(params[name]), count))


def first_kernels(params: Params, count: int = 5) -> list[Tensor]:
    return list(islice(drawn_kernels(params), count))


@pytest.mark.parametrize("kind", ["iso", "aniso"])
def test_gaussians_follow_their_walks(kind: str) -> None:
    params = drawn(kind)
    names = ("sigma_x", "sigma_y", "angle")[: 1 if kind == "iso" else 3]
    assert params.keys() == {"kind", "size", *names}
    shapes = zip(*(values(params, name) for name in names), strict=True)
    for kernel, shape in zip(first_kernels(params), shapes, strict=True):
        torch.testing.assert_close(kernel, blur_kernels.gaussian(params["size"], *shape))


@pytest.mark.parametrize(("beta", "low", "high"), [(2, 1, 2), (0.5, 0.5, 1)])
@pytest.mark.parametrize("isotropic", ["iso", "aniso"])
@pytest.mark.parametrize("family", ["generalized", "plateau"])
def test_beta_is_drawn_anew_for_every_frame_between_its_walk_and_one(
    family: str, isotropic: str, beta: float, low: float, high: float
) -> None:
    """Read from a tap two sigmas from the middle."""
    one, resting = Walk(1, 1, 0), Walk(beta, beta, 0)
    blur = replace(BLUR, sigma_x=one, sigma_y=one, beta_gaussian=resting, beta_plateau=resting)
    params = replace(blur, kinds={f"{family}_{isotropic}": 1}).draw(rng(), (1, 3, 64, 64))
    middle = params["size"] // 2
    ratios = [(k[middle, middle + 2] / k[middle, middle]).item() for k in first_kernels(params, 500)]
    powers = [-2 * log(ratio) if family == "generalized" else 1 / ratio - 1 for ratio in ratios]
    assert uniform_between([log(power, 4) for power in powers], low, high)


@pytest.mark.parametrize(("size", "walk"), [(11, BLUR.omega_small), (13, BLUR.omega_large)])
def test_sinc_cuts_off_in_the_range_of_its_size(size: int, walk: Walk) -> None:
    params = replace(BLUR, kinds={"sinc": 1}, smallest=size, largest=size).draw(rng(), (1, 3, 64, 64))
    assert params.keys() == {"kind", "size", "omega"}
    assert walk.low <= params["omega"]["start"] <= walk.high
    for kernel, omega in zip(first_kernels(params), values(params, "omega"), strict=True):
        torch.testing.assert_close(kernel, blur_kernels.sinc(size, omega))


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_is_filtered_by_its_own_kernel(kind: str) -> None:
    params, frames = drawn(kind, seed=1), clip(4, 40, 36)
    blurred = list(BLUR.apply(params, frames))
    for frame, result, kernel in zip(frames, blurred, drawn_kernels(params), strict=False):
        image = np.ascontiguousarray(frame.permute(1, 2, 0).numpy())
        reference = cv2.filter2D(image, -1, kernel.numpy(), borderType=cv2.BORDER_REFLECT_101)
        np.testing.assert_allclose(result.permute(1, 2, 0).numpy(), reference, atol=2e-6)
    assert len(blurred) == 4
    first, second = first_kernels(params, 2)
    assert apart(first, second)


def test_frames_of_one_clip_may_differ_in_size() -> None:
    sizes = [(20, 24), (22, 24), (4, 6)]
    frames = [clip(1, *size)[0] for size in sizes]
    assert [tuple(frame.shape[1:]) for frame in BLUR.apply(drawn("sinc"), frames)] == sizes


def test_every_odd_size_is_drawn_alike() -> None:
    source = rng()
    sizes = [BLUR.draw(source, (1, 3, 64, 64))["size"] for _ in range(2000)]
    assert drawn_as_often(sizes, dict.fromkeys(range(7, 22, 2), 1))
    sinc = Sinc(9, 13, Walk(1, 2, 0.1))
    assert drawn_as_often([sinc.draw(source, ())["size"] for _ in range(2000)], {9: 1, 11: 1, 13: 1})


def test_sinc_for_every_clip_is_the_sinc_of_blur() -> None:
    params = Sinc(7, 21, Walk(1, 3, 0.1)).draw(rng(), (1, 3, 64, 64))
    frames = clip(3, 32, 32)
    pairs = zip(Sinc(7, 21, Walk(1, 3, 0.1)).apply(params, frames), BLUR.apply(params, frames), strict=True)
    assert [torch.equal(one, other) for one, other in pairs] == [True] * 3


@pytest.mark.parametrize(("smallest", "largest"), [(8, 21), (7, 20), (9, 7), (-1, 7)])
def test_even_sizes_are_refused(smallest: int, largest: int) -> None:
    for make in (
        lambda: replace(BLUR, smallest=smallest, largest=largest),
        lambda: Sinc(smallest, largest, BLUR.omega_small),
    ):
        with pytest.raises(ValueError, match=f"odd and in ascending order, got {smallest} to {largest}"):
            make()


def test_kinds_that_do_not_exist_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="unknown kernel box; choose from iso, aniso"):
        replace(BLUR, kinds={"iso": 1, "box": 1})


def test_drawing_asks_only_the_generator() -> None:
    def draws(source: Generator) -> list[Params]:
        return [BLUR.draw(source, (1, 3, 64, 64)) for _ in range(20)]

    assert draws(rng(3)) == draws(rng(3)) != draws(rng(4))

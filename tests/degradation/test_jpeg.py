"""JPEG: libjpeg's as Pillow's, kornia's close to it, at a quality of every frame's own."""

from io import BytesIO
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dcvsr.degradation.jpeg import JPEG, JPEG_CODERS, ByDevice, JPEGCoder, JPEGCoderName, Kornia, Libjpeg
from dcvsr.degradation.walk import Walk, walked
from dcvsr.imaging import to_bytes, to_unit
from tests.comparing import rise
from tests.degradation.making import clip, psnr, rng, uniform_between

CODERS = [Libjpeg(), Kornia(), ByDevice()]
SIZES = [(144, 176), (129, 131), (97, 33), (16, 8), (3, 5), (1, 1)]


def pillow(frame: Tensor, quality: int) -> Tensor:
    """4:2:0, as it and libjpeg choose where nothing is said."""
    buffer = BytesIO()
    Image.fromarray(to_bytes(frame).permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("quality", [1, 30, 60, 90, 100])
def test_libjpeg_is_pillow_s_byte_for_byte(real_clip: Tensor, size: tuple[int, int], quality: int) -> None:
    frame = real_clip[0, :, : size[0], : size[1]]
    assert torch.equal(to_bytes(Libjpeg()(frame, quality)), pillow(frame, quality))


@pytest.mark.parametrize("size", [(144, 176), (129, 131), (65, 83)])
@pytest.mark.parametrize("quality", [30, 60, 90])
def test_kornia_agrees_with_libjpeg_to_40_db(real_clip: Tensor, size: tuple[int, int], quality: int) -> None:
    frame = real_clip[0, :, : size[0], : size[1]]
    assert psnr(Kornia()(frame, quality), Libjpeg()(frame, quality)) > 40


def test_on_a_cpu_it_is_libjpeg_s(real_clip: Tensor) -> None:
    assert torch.equal(ByDevice()(real_clip[0], 50), Libjpeg()(real_clip[0], 50))


@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize("size", SIZES)
def test_sizes_are_kept_and_values_in_range(coder: JPEGCoder, size: tuple[int, int]) -> None:
    coded = coder(clip(1, *size)[0], 40)
    assert (coded.shape, coded.dtype) == ((3, *size), torch.float32)
    assert 0 <= coded.min() <= coded.max() <= 1


@pytest.mark.parametrize("coder", CODERS)
def test_what_lies_outside_is_clamped_first(coder: JPEGCoder) -> None:
    frame = clip(1, 40, 56)[0] * 2 - 0.5
    assert torch.equal(coder(frame, 50), coder(frame.clamp(0, 1), 50))


@pytest.mark.parametrize("coder", CODERS)
def test_a_better_quality_is_nearer_to_the_source(real_clip: Tensor, coder: JPEGCoder) -> None:
    distances = [psnr(coder(real_clip[0], quality), real_clip[0]) for quality in (10, 30, 60, 90)]
    assert rise(distances)
    assert distances[-1] - distances[0] > 5


@pytest.mark.parametrize(("name", "coder"), JPEG_CODERS.items())
def test_every_frame_is_coded_at_its_own_quality(name: JPEGCoderName, coder: JPEGCoder) -> None:
    frames = clip(6, 40, 56)
    step = JPEG(Walk(20, 95, 30), name)
    params = step.draw(rng(), frames.shape)
    qualities = [round(quality) for quality in islice(walked(params["quality"]), 6)]
    assert len(set(qualities)) > 3
    for frame, coded, quality in zip(frames, step.apply(params, frames), qualities, strict=True):
        assert torch.equal(coded, coder(frame, quality))


def test_bytes_are_whole() -> None:
    coded = Libjpeg()(clip(1, 40, 56)[0], 40)
    assert torch.equal(coded, to_unit(to_bytes(coded)))


def test_qualities_are_drawn_uniformly() -> None:
    step, source = JPEG(Walk(30, 95, 3), "libjpeg"), rng()
    assert uniform_between((step.draw(source, ())["quality"]["start"] for _ in range(2000)), 30, 95)


@pytest.mark.parametrize(("low", "high"), [(0, 50), (50, 101)])
def test_qualities_that_jpeg_does_not_have_are_refused(low: int, high: int) -> None:
    with pytest.raises(ValueError, match=f"JPEG quality must be in 1 to 100, got {low} to {high}"):
        JPEG(Walk(low, high, 1), "libjpeg")

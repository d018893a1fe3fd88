"""Video compression: the same frames in the same order at the first one's size, exact over repeats."""

from concurrent.futures import ThreadPoolExecutor
from copy import copy
from itertools import count

import av
import pytest
import torch
from torch import Tensor

from dcvsr.degradation.codec import (
    VIDEO_CODERS,
    BitRate,
    PyAV,
    RateFactor,
    Uncompressed,
    VideoCoderName,
    VideoCompression,
)
from dcvsr.degradation.resample import Antialiased, OpenCV
from dcvsr.degradation.walk import Params
from tests.degradation.making import clip, drawn_as_often, psnr, rng

PARAMS: list[Params] = [
    {"codec": "libx264", "bit_rate": 30000},
    {"codec": "libx264", "crf": 22.5},
    {"codec": "mpeg4", "bit_rate": 30000},
]


def coded(params: Params, frames: Tensor) -> Tensor:
    return torch.stack(list(PyAV()(params, frames)))


@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize("size", [(64, 48), (33, 47), (2, 2), (1, 5)])
@pytest.mark.parametrize("frames", [1, 2, 60])
def test_frames_and_size_are_kept(params: Params, size: tuple[int, int], frames: int) -> None:
    decoded = coded(params, clip(frames, *size))
    assert (decoded.shape, decoded.dtype) == ((frames, 3, *size), torch.float32)
    assert torch.equal(decoded * 255, (decoded * 255).round())


@pytest.mark.parametrize("params", PARAMS)
def test_frames_come_in_order(params: Params) -> None:
    levels = torch.linspace(0.1, 0.9, 50)
    decoded = coded(params, levels[:, None, None, None].expand(50, 3, 32, 32))
    torch.testing.assert_close(decoded.mean(dim=(1, 2, 3)), levels, atol=0.03, rtol=0)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_more_bits_are_nearer_to_the_source(codec: str, real_clip: Tensor) -> None:
    near = [
        psnr(coded({"codec": codec, "bit_rate": rate}, real_clip), real_clip) for rate in (1000, 6000, 24000)
    ]
    assert near[0] + 0.5 < near[1] < near[2] - 0.5


def test_a_lower_rate_factor_is_nearer_to_the_source(real_clip: Tensor) -> None:
    near = [psnr(coded({"codec": "libx264", "crf": crf}, real_clip), real_clip) for crf in (38, 28, 18)]
    assert near[0] + 0.5 < near[1] < near[2] - 0.5


def test_colours_stay(real_clip: Tensor) -> None:
    colour = torch.tensor([200, 40, 60])[:, None, None].expand(2, 3, 32, 32) / 255
    for params in PARAMS:
        assert (coded(params, colour) - colour).abs().max() < 4 / 255


@pytest.mark.parametrize("params", PARAMS)
def test_repeats_are_exact_wherever_buffers_lie(params: Params, real_clip: Tensor) -> None:
    first = coded(params, real_clip)
    with ThreadPoolExecutor(4) as pool:
        for repeat in pool.map(lambda i: (torch.rand(1000 * i), coded(params, real_clip))[1], range(20)):
            assert torch.equal(repeat, first)


def test_what_lies_outside_is_clamped() -> None:
    frames = torch.tensor([-0.5, 1.5])[:, None, None, None].expand(2, 3, 16, 16)
    decoded = coded({"codec": "libx264", "crf": 1}, frames)
    assert decoded[0].max() < 0.02
    assert decoded[1].min() > 0.98


@pytest.mark.parametrize("coder", VIDEO_CODERS)
def test_ragged_clips_join_at_the_first_frame_s_size(coder: VideoCoderName) -> None:
    gray = [clip(1, *size)[0, :1] for size in ((32, 40), (30, 42), (64, 64))]
    frames = [frame.expand(3, -1, -1) for frame in gray]
    video = VideoCompression({"libx264": 1}, RateFactor(18, 28), coder)
    joined = list(video.apply({"codec": "libx264", "crf": 1}, iter(frames)))
    assert [tuple(frame.shape) for frame in joined] == [(3, 32, 40)] * 3
    expected = [Antialiased()(frame, (32, 40), "bicubic").clamp(0, 1) for frame in frames]
    assert all(psnr(frame, there) > 30 for frame, there in zip(joined, expected, strict=True))


def test_joining_resamples_as_pyav_does(real_clip: Tensor) -> None:
    """RealBasicVSR hands frames of any size to PyAV, which asks swscale for its bilinear kernel."""
    size = real_clip.shape[2:]
    for height, width in ((50, 60), (100, 122), (140, 180), (200, 250)):
        frame = OpenCV()(real_clip[0], (height, width), "area")
        video = VideoCompression({"libx264": 1}, RateFactor(18, 28), "none")
        _, joined = video.apply({}, iter([real_clip[1], frame]))
        image = (frame * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
        there = av.VideoFrame.from_ndarray(image, "rgb24").reformat(size[1], size[0], "rgb24").to_ndarray()
        assert psnr(joined, torch.from_numpy(there).permute(2, 0, 1) / 255) > 40


def test_frames_leave_before_the_last_has_come() -> None:
    """Memory is that of the encoder's lookahead, however long the clip is."""
    taken = count()
    endless = (clip(1, 16, 16)[0] for _ in taken)
    for given, _ in zip(range(300), PyAV()({"codec": "libx264", "crf": 23}, endless), strict=False):
        assert next(copy(taken)) - given < 100
    assert given == 299


def test_an_uncompressed_clip_is_only_rounded() -> None:
    frames = clip(3, 16, 16) * 1.2 - 0.1
    rounded = torch.stack(list(Uncompressed()({}, frames)))
    assert torch.equal(rounded, (frames * 255).round().clamp(0, 255) / 255)


def test_no_frames_are_no_frames() -> None:
    assert list(PyAV()(PARAMS[0], [])) == []


def test_codecs_and_rates_are_drawn_as_told() -> None:
    generator = rng()
    video = VideoCompression({"libx264": 2, "mpeg4": 1}, BitRate(10000, 100000), "pyav")
    drawn = [video.draw(generator, (1, 3, 16, 16)) for _ in range(2000)]
    assert drawn_as_often((params["codec"] for params in drawn), {"libx264": 2, "mpeg4": 1})
    rates = [params["bit_rate"] for params in drawn]
    assert all(isinstance(rate, int) for rate in rates)
    assert 10000 <= min(rates) < 10500
    assert 99500 < max(rates) <= 100000


def test_an_unknown_codec_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown codec h266; choose from libx264, mpeg4"):
        VideoCompression({"h266": 1}, BitRate(1, 2), "pyav")

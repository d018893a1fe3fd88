"""Video compression with one codec and one rate per clip; output frames have the first frame's size.

Axes: frames are ``c h w`` in [0, 1]; what lies outside is clamped. PyAV's images are ``h w c``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import chain, count
from typing import Literal, Protocol, cast

import av
import cv2
import numpy as np
import torch
from av.video.reformatter import VideoReformatter
from einops import rearrange
from torch import Generator, Tensor

from dcvsr.degradation.resample import Antialiased
from dcvsr.degradation.seeds import choose, uniform
from dcvsr.degradation.walk import Params
from dcvsr.imaging import to_bytes, to_unit
from dcvsr.runtime.choices import require_choice

CODECS: Mapping[str, dict[str, str]] = {"libx264": {"x264-params": "mbtree=0"}, "mpeg4": {}}
"""FFmpeg's encoders and their options; x264's macroblock tree depends on buffer addresses, so it is off."""


VideoCoderName = Literal["pyav", "none"]


class VideoCoder(Protocol):
    """Function that encodes and decodes a clip of one size."""

    def __call__(self, params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Apply the function."""
        ...


@dataclass(frozen=True)
class BitRate:
    """Bit rate of ``low`` to ``high`` bits per frame."""

    low: int
    high: int

    def draw(self, generator: Generator) -> Params:
        """Draw the parameters of a clip."""
        return {"bit_rate": int(torch.randint(self.low, self.high + 1, (), generator=generator))}


@dataclass(frozen=True)
class RateFactor:
    """Constant rate factor of x264, ``low`` to ``high``: equal quality at every frame size."""

    low: float
    high: float

    def draw(self, generator: Generator) -> Params:
        """Draw the parameters of a clip."""
        return {"crf": uniform(generator, self.low, self.high)}


@dataclass(frozen=True)
class VideoCompression:
    """Encoding and decoding of a clip.

    Args:
        codecs: FFmpeg's encoder -> probability.
        rate: bit rate or rate factor.
        coder: ``pyav``, or ``none`` for eight-bit rounding alone.
    """

    codecs: Mapping[str, float]
    rate: BitRate | RateFactor
    coder: VideoCoderName

    def __post_init__(self) -> None:
        require_choice("coder", self.coder, VIDEO_CODERS)
        if unknown := self.codecs.keys() - CODECS.keys():
            raise ValueError(f"unknown codec {', '.join(unknown)}; choose from {', '.join(CODECS)}")

    def draw(self, generator: Generator, shape: Sequence[int]) -> Params:
        """Draw the parameters of a clip."""
        return {"codec": choose(generator, self.codecs), **self.rate.draw(generator)}

    def apply(self, params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the degraded frames one by one."""
        return VIDEO_CODERS[self.coder](params, _joined(frames))


@dataclass(frozen=True)
class Uncompressed:
    """No compression, only rounding to eight bits."""

    def __call__(self, params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the decoded frames."""
        return (to_unit(to_bytes(frame)) for frame in frames)


@dataclass(frozen=True)
class PyAV:
    """Compression by FFmpeg's encoders and decoders, on the CPU, in memory, with one thread per clip.

    A frame leaves as soon as the encoder has let go of it: memory is that of its lookahead.
    """

    def __call__(self, params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the decoded frames."""
        remaining = iter(frames)
        for first in remaining:
            size, device = first.shape[1:], first.device
            encoder, decoder = _encoder(params, *size), _decoder(params)
            to_yuv, to_rgb = VideoReformatter(), VideoReformatter()
            pictures = map(partial(_picture, to_yuv), chain([first], remaining), count())
            packets = chain.from_iterable(map(encoder.encode, chain(pictures, [None])))
            for decoded in chain.from_iterable(map(decoder.decode, chain(packets, [None]))):
                yield _frame(to_rgb, decoded, *size).to(device)


VIDEO_CODERS: Mapping[VideoCoderName, VideoCoder] = {"pyav": PyAV(), "none": Uncompressed()}


def _encoder(params: Params, height: int, width: int) -> av.VideoCodecContext:
    """Create an encoder at one frame per second, as RealBasicVSR: the bit rate is then bits per frame."""
    encoder = cast(av.VideoCodecContext, av.CodecContext.create(params["codec"], "w"))
    encoder.height, encoder.width = _even(height), _even(width)
    encoder.pix_fmt, encoder.framerate, encoder.time_base = "yuv420p", Fraction(1), Fraction(1)
    encoder.thread_count = 1
    encoder.options = CODECS[params["codec"]]
    if "bit_rate" in params:
        encoder.bit_rate = params["bit_rate"]
    else:
        encoder.options = encoder.options | {"crf": str(params["crf"])}
    return encoder


def _decoder(params: Params) -> av.VideoCodecContext:
    name = av.Codec(params["codec"], "w").canonical_name
    decoder = cast(av.VideoCodecContext, av.CodecContext.create(name, "r"))
    decoder.thread_count = 1
    return decoder


def _picture(to_yuv: VideoReformatter, frame: Tensor, index: int) -> av.VideoFrame:
    """Convert a frame to YUV 4:2:0; odd sides repeat the last pixels, which `_frame` removes."""
    # cv2.merge, as numpy takes 30 times as long.
    image = np.asarray(cv2.merge(list(to_bytes(frame).cpu().numpy())), np.uint8)
    height, width, _ = image.shape
    if height % 2 or width % 2:
        image = np.pad(image, [(0, height % 2), (0, width % 2), (0, 0)], mode="edge")
    picture = to_yuv.reformat(av.VideoFrame.from_ndarray(image, "rgb24"), format="yuv420p")
    picture.pts = index
    return picture


def _frame(to_rgb: VideoReformatter, decoded: av.VideoFrame, height: int, width: int) -> Tensor:
    image = rearrange(to_rgb.reformat(decoded, format="rgb24").to_ndarray(), "h w c -> c h w")
    return to_unit(torch.from_numpy(np.ascontiguousarray(image[:, :height, :width])))


def _even(side: int) -> int:
    return side + side % 2


def _joined(frames: Iterable[Tensor]) -> Iterator[Tensor]:
    """Resample frames to the size of the first one, because a codec needs one size (spec 5.2).

    RealBasicVSR leaves this to PyAV: swscale's bilinear kernel, which widens where it reduces.
    """
    size, resample = None, Antialiased()
    for frame in frames:
        height, width = size = size or frame.shape[1:]
        yield resample(frame, (height, width), "bilinear")

"""Video compression: one codec and one rate for a clip; all its frames leave at the first one's size.

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
"""FFmpeg's encoders, and what makes them exact: x264's macroblock tree sums up by where buffers lie."""


VideoCoderName = Literal["pyav", "none"]


class VideoCoder(Protocol):
    """Codes and decodes a clip of one size."""

    def __call__(self, params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]: ...


@dataclass(frozen=True)
class BitRate:
    """A budget of ``low`` to ``high`` bits a frame."""

    low: int
    high: int

    def draw(self, generator: Generator) -> Params:
        return {"bit_rate": int(torch.randint(self.low, self.high + 1, (), generator=generator))}


@dataclass(frozen=True)
class RateFactor:
    """x264's constant rate factor, ``low`` to ``high``: the same quality at every size, as cameras set it."""

    low: float
    high: float

    def draw(self, generator: Generator) -> Params:
        return {"crf": uniform(generator, self.low, self.high)}


@dataclass(frozen=True)
class VideoCompression:
    """A clip coded and decoded.

    Args:
        codecs: FFmpeg's encoder -> how often.
        rate: at which cost.
        coder: ``pyav``, or ``none`` for eight-bit rounding alone.
    """

    codecs: Mapping[str, float]
    rate: BitRate | RateFactor
    coder: VideoCoderName

    def __post_init__(self) -> None:
        require_choice("coder", self.coder, VIDEO_CODERS)
        if unknown := self.codecs.keys() - CODECS.keys():
            raise ValueError(f"no codec is called {', '.join(unknown)}; there are {', '.join(CODECS)}")

    def draw(self, generator: Generator, shape: Sequence[int]) -> Params:
        return {"codec": choose(generator, self.codecs), **self.rate.draw(generator)}

    def apply(self, params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        return VIDEO_CODERS[self.coder](params, _joined(frames))


@dataclass(frozen=True)
class Uncompressed:
    """No compression: rounded to eight bits, as a decoder would."""

    def __call__(self, params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        return (to_unit(to_bytes(frame)) for frame in frames)


@dataclass(frozen=True)
class PyAV:
    """FFmpeg's encoders and decoders, on the CPU, in memory, one thread a clip.

    A frame leaves as soon as the encoder has let go of it: memory is that of its lookahead.
    """

    def __call__(self, params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]:
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
    """One frame a second, as RealBasicVSR has it: a bit rate is then a frame's budget."""
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
    """Chroma at half the size needs even sides: the last pixels are repeated, and `_frame` cuts them off."""
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
    """Resample frames to the size of the first one, as a codec takes one size (spec 5.2).

    RealBasicVSR leaves this to PyAV: swscale's bilinear kernel, which widens where it reduces.
    """
    size, resample = None, Antialiased()
    for frame in frames:
        height, width = size = size or frame.shape[1:]
        yield resample(frame, (height, width), "bilinear")

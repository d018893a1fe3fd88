"""Decoding with SVD's temporal decoder, layer by layer in pieces: the same result in a third of the memory.

diffusers runs each layer on all frames at once and keeps several tensors of the largest size. Most layers see
one frame, and the temporal layers see one pixel of all frames, apart from the statistics of their group
normalisation. This module runs the former frame by frame and the latter by bands of rows, in place.

Axes: clip ``f c h w``.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import TemporalDecoder
from diffusers.models.resnet import SpatioTemporalResBlock
from torch import Tensor, nn
from torch.nn import functional as F

PerFrame = Callable[[Tensor], Tensor]
"""Layer that sees frames alone: ``1 c h w -> 1 c' h' w'``."""

WORKSPACE = 9
"""Size of a frame's workspace, in tensors ``128 8h 8w``; measured on a CPU."""


def decoded(decoder: TemporalDecoder, latent: Tensor) -> Tensor:
    """Decode one clip ``f k h w`` to ``f c 8h 8w``, as ``decoder.forward`` does up to rounding.

    At its peak it holds two tensors of ``f 128 8h 8w`` and the workspace of a frame: 5 GB for 14 frames of
    512x512 in float32.
    """
    x, per_frame = latent, list[PerFrame]()
    for layer in _layers(decoder):
        if isinstance(layer, SpatioTemporalResBlock):
            x = _frame_by_frame([*per_frame, lambda y, block=layer: block.spatial_res_block(y, None)], x)
            per_frame = []
            _temporal(layer, x)
        else:
            per_frame.append(layer)
    x = _frame_by_frame(per_frame, x)
    return _over_time(decoder.time_conv_out, x)


def _layers(decoder: TemporalDecoder) -> Iterator[nn.Module]:
    """Yield the layers in order, down to those that act on single frames or are spatio-temporal blocks."""
    yield decoder.conv_in
    first, *others = decoder.mid_block.resnets
    yield first
    for attention, block in zip(decoder.mid_block.attentions, others, strict=False):  # as in diffusers
        yield attention
        yield block
    for up in decoder.up_blocks:
        yield from up.resnets  # type: ignore[misc]
        yield from up.upsamplers or []  # type: ignore[misc]
    yield decoder.conv_norm_out
    yield decoder.conv_act
    yield decoder.conv_out


def _frame_by_frame(layers: Sequence[PerFrame], x: Tensor) -> Tensor:
    """Run ``layers`` on each frame; what lies between two of them exists for one frame only."""
    result: Tensor | None = None
    for i, frame in enumerate(x.split(1)):
        y = functools.reduce(lambda y, layer: layer(y), layers, frame)
        result = y.new_empty(len(x), *y.shape[1:]) if result is None else result
        result[i] = y[0]
    assert result is not None
    return result


def _temporal(block: SpatioTemporalResBlock, x: Tensor) -> None:
    """Add the temporal half of ``block`` to ``x`` in place."""
    temporal, hidden = block.temporal_res_block, torch.empty_like(x)
    bands = list(_bands(x))
    norm = _affine(temporal.norm1, x)
    for rows in bands:
        hidden[:, :, rows] = _over_time(temporal.conv1, _activated(x[:, :, rows], norm))
    norm = _affine(temporal.norm2, hidden)
    for rows in bands:
        band = x[:, :, rows]
        added = _over_time(temporal.conv2, _activated(hidden[:, :, rows], norm))
        x[:, :, rows] = block.time_mixer(x_spatial=band, x_temporal=added.add_(band))


def _bands(x: Tensor) -> Iterable[slice]:
    """Cut the rows so that a band of all frames is about as large as one frame."""
    frames, _, height, _ = x.shape
    rows = -(-height // frames)
    return (slice(start, start + rows) for start in range(0, height, rows))


def _over_time(conv: nn.Conv3d, x: Tensor) -> Tensor:
    """Run a convolution over frames on ``f c h w``."""
    return conv(x.movedim(0, 1)[None])[0].movedim(1, 0)


def _activated(x: Tensor, norm: tuple[Tensor, Tensor]) -> Tensor:
    scale, shift = norm
    return F.silu(torch.addcmul(shift, x, scale), inplace=True)


def _affine(norm: nn.GroupNorm, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return scale and shift per channel, ``c 1 1``, that normalise ``x`` over frames, rows and columns."""
    groups = norm.num_groups
    moments = [torch.var_mean(frame.reshape(groups, -1), dim=1, correction=0) for frame in x]
    variances, means = (torch.stack(values).double() for values in zip(*moments, strict=True))
    mean = means.mean(dim=0)
    variance = (variances + (means - mean) ** 2).mean(dim=0)  # of all frames from those of each
    per_channel = x.shape[1] // groups
    mean, rate = (value.repeat_interleave(per_channel) for value in (mean, (variance + norm.eps).rsqrt()))
    scale = norm.weight * rate
    shift = norm.bias - mean * scale
    return scale.to(x.dtype)[:, None, None], shift.to(x.dtype)[:, None, None]

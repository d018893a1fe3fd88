"""Probe of a job: seconds of one frame's encoding, one evaluation and one frame's decoding."""

import time
from collections.abc import Callable, Mapping

import torch

from dcvsr.models.clip_condition import LRClip
from dcvsr.models.upscaler import TiledUpscaler
from dcvsr.runtime.workspace import Memory, Position

TILES = 2
"""Tiles per side of the probed clip, so that SAP and TAP exchange keys."""


def probed(upscaler: TiledUpscaler, shape: tuple[int, int, int], device: torch.device) -> Mapping[str, float]:
    """Upscale noise of at most two windows of 2x2 tiles for the first two evaluations, and time it.

    Seconds of encoding and decoding grow with the pixels of a frame, those of an evaluation do not.

    Args:
        upscaler: the method, on ``device``.
        shape: frames, height and width of the LR video.
        device: its device.
    """
    grid, scale = upscaler.grid, upscaler.latents.autoencoder.factor
    side = -(-TILES * grid.size * scale // upscaler.factor)
    frames, height, width = min(shape[0], 2 * grid.frames), min(shape[1], side), min(shape[2], side)
    lr = torch.rand(frames, 3, height, width, generator=torch.Generator().manual_seed(0))
    job = upscaler.job(LRClip.of(lr), Memory(), device)
    pixels = shape[1] * shape[2] / (height * width)
    last = min(2, len(upscaler.sampler.evaluations))
    with torch.inference_mode():
        encoding = _seconds(lambda: job.encode(0), device)
        sampling = _seconds(lambda: job.sample(Position("sample"), {}, last), device)
        decoding = _seconds(lambda: list(job.decoded(job.state(last), last, 0)), device)
    size = frames, height, width
    levels = upscaler.sampler.evaluations[:last]
    evaluations = sum(
        upscaler.evaluations(size, step, upscaler.guidance.evaluations(sigma)) for step, sigma in levels
    )
    return {
        "encoding": encoding / frames * pixels,
        "sampling": sampling / evaluations,
        "decoding": decoding / frames * pixels,
    }


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    started = time.monotonic()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.monotonic() - started

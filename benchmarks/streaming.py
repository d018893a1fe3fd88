"""Streaming from files against sampling on whole tensors: memory against length, and time.

    python -m benchmarks.streaming --frames 60 600

Each length is a process of its own, so that one does not leave memory to the next.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from statistics import median

import torch
from hydra import compose, initialize_config_dir
from torch import Tensor

from dcvsr.attention.observer import NOBODY
from dcvsr.diffusion.protocols import ignored
from dcvsr.imaging import to_bytes, to_unit
from dcvsr.models.configured import configured_upscaler
from dcvsr.models.tiled import TiledDenoiser
from dcvsr.models.upscaler import TiledUpscaler
from dcvsr.runtime.cli import CONF
from dcvsr.upscaling.job_folder import JobFolder
from dcvsr.upscaling.reading import ReadVideo
from dcvsr.upscaling.target_size import TargetSize
from dcvsr.upscaling.video_job import VideoJob
from dcvsr.video.memory import Metadata
from dcvsr.video.part import Part

SIDE = 32
"""LR pixels: one tile of nano."""


def main() -> None:
    """Print the growth of memory with length, or the time against the reference."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streaming", description=__doc__)
    parser.add_argument("--frames", type=int, nargs="+", default=[60, 600], help="lengths (default 60 600)")
    parser.add_argument("--pairs", type=int, default=5, help="interleaved pairs of the time (default 5)")
    asked = parser.parse_args()
    peaks = [_measured(frames) for frames in asked.frames]
    for frames, peak in zip(asked.frames, peaks, strict=True):
        print(f"{frames} frames: {peak / 1e6:.0f} MB of anonymous memory at the peak, {peak / peaks[0]:.3f}")
    ratios = list(_time_ratios(asked.pairs))
    print(f"time of streaming over whole tensors: {median(ratios):.3f} {[round(r, 3) for r in ratios]}")


def _measured(frames: int) -> int:
    """Return the anonymous bytes at the peak of a process that upscales a clip of this length."""
    code = f"from benchmarks.streaming import peak; print(peak({frames}))"
    return int(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True).stdout)


def peak(frames: int) -> int:
    """Upscale a clip with one sampler step and return the anonymous bytes at the peak."""
    upscaler = _upscaler("sampler.steps=1")
    with tempfile.TemporaryDirectory() as folder, _sampled() as seen:
        _streamed(upscaler, _clips(frames), frames, Path(folder))
    return max(seen)


def _time_ratios(pairs: int, frames: int = 22) -> Iterator[float]:
    upscaler, lr = _upscaler(), torch.cat(list(_clips(frames)))

    def stream() -> None:
        with tempfile.TemporaryDirectory() as folder:
            _streamed(upscaler, [lr], frames, Path(folder))

    runs: list[Callable[[], object]] = [stream, lambda: _whole(upscaler, lr)]
    for run in runs:
        run()
    for pair in range(pairs):
        seconds = {}
        for run in runs if pair % 2 else runs[::-1]:
            started = time.process_time()
            run()
            seconds[run] = time.process_time() - started
        yield seconds[runs[0]] / seconds[runs[1]]


def _streamed(upscaler: TiledUpscaler, clips: Iterable[Tensor], frames: int, folder: Path) -> None:
    """Upscale as the command does, to PNGs."""
    job_folder = JobFolder(folder / "hr")
    with job_folder.locked():
        store, start = job_folder.frames("lr", (3, SIDE, SIDE)), 0
        for clip in clips:
            store.write(start, clip)
            start += len(clip)
        shape, target = (frames, SIDE, SIDE), TargetSize.fourfold(SIDE, SIDE)
        video = ReadVideo(store, shape, "", [range(frames)], Metadata(Fraction(25)), target)
        job = VideoJob(upscaler, video, job_folder, Part(), torch.device("cpu"), save_every=1)
        job.write(folder / "hr", 16, ignored, NOBODY)


@torch.inference_mode()
def _whole(upscaler: TiledUpscaler, lr: Tensor) -> Tensor:
    """Upscale on tensors of the whole video: the reference."""
    up, frames = upscaler, len(lr)
    found = up.condition(to_unit(lr)[None], canvas=up.canvas(frames, 4 * SIDE, 4 * SIDE))
    _, length, _, rows, columns = found.latent.shape
    tiled = TiledDenoiser(
        up.denoiser,
        up.guidance,
        up.propagation,
        lambda step: up.grid.windows(length, rows, columns, step),
        found.condition,
        up.blend,
        up.blend_time,
        up.sampler.steps,
        up.batch,
    )
    noise = torch.randn(found.latent.shape[1:])
    with up.denoiser.propagated():
        y = up.sampler(tiled, noise)
    return to_bytes(up.latents.decode(y[None], found.latent)[0, :frames].clamp(0, 1))


def _upscaler(*overrides: str) -> TiledUpscaler:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("upscale", ["device=cpu", "precision=float32", *overrides])
    upscaler, _ = configured_upscaler(cfg)
    assert isinstance(upscaler, TiledUpscaler)
    return upscaler


def _clips(frames: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(0)
    for _ in range(frames):
        yield torch.randint(0, 256, (1, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator)


@contextmanager
def _sampled() -> Iterator[list[int]]:
    """Note this process's anonymous bytes every 20 ms, from Linux's /proc."""
    seen, is_over = [0], threading.Event()

    def watch() -> None:
        while not is_over.wait(0.02):
            status = Path("/proc/self/status").read_text()
            kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon"))
            seen.append(1024 * int(kilobytes))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        is_over.set()
        watcher.join()


if __name__ == "__main__":
    main()

"""A small upscaler with SAP and TAP, a clip, and a job on it that can be run in a process of its own."""

import os
import signal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from dcvsr.attention.alternating import Alternating
from dcvsr.attention.observer import NOBODY, Observer
from dcvsr.attention.propagation import SpatialPropagation
from dcvsr.diffusion.guidance import CFG
from dcvsr.diffusion.protocols import ignored
from dcvsr.diffusion.sampler import Sampler
from dcvsr.imaging import upsample
from dcvsr.models.autoencoder import HaarAutoencoder
from dcvsr.models.denoiser import Denoiser
from dcvsr.models.image_encoder import ZeroEmbedding
from dcvsr.models.latents import ResidualLatents
from dcvsr.models.svd import new_unet
from dcvsr.models.upscaler import TiledUpscaler
from dcvsr.runtime import frame_stores
from dcvsr.runtime.ranks import ALONE, Ranks
from dcvsr.tiling.grid import TileGrid
from dcvsr.upscaling.job_folder import JobFolder
from dcvsr.upscaling.reading import ReadVideo
from dcvsr.upscaling.target_size import TargetSize
from dcvsr.upscaling.video_job import VideoJob
from dcvsr.video import io
from dcvsr.video.coding import Coding
from dcvsr.video.memory import Metadata
from dcvsr.video.part import Part
from tests.attention.making import tap


def make_upscaler(**changed) -> TiledUpscaler:
    """Two resolutions of 32 channels, always the same weights."""
    torch.manual_seed(0)
    unet = new_unet(48, [32, 32], [1, 1], layers=1, embedding=32, frames=3).eval().requires_grad_(False)
    parts = {
        "upsample": upsample,
        "denoiser": Denoiser(unet, [8, 127, 0]),
        "latents": ResidualLatents(HaarAutoencoder(), [0], [0.1] * 48, [0.0] * 48, [1.0] * 48, 1, 0.02),
        "image_encoder": ZeroEmbedding(32),
        "sampler": Sampler(3, 0.1, 10, 7),
        "guidance": CFG(1.0),
        "propagation": Alternating(
            SpatialPropagation(0.25, "lockstep"), tap(anchors=1, direction="both"), "ascending", "own"
        ),
        "grid": TileGrid(8, 3, 0.4),
        "blend": 0.1,
        "blend_time": 0.1,
        "batch": 1,
        "precision": torch.float32,
        "seed": 0,
    }
    return TiledUpscaler(**{**parts, **changed})


def make_lr(frames: int = 7, height: int = 8, width: int = 11) -> Tensor:
    """A clip of noise, uint8."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (frames, 3, height, width), dtype=torch.uint8, generator=generator)


def run(
    upscaler: TiledUpscaler,
    lr: Tensor,
    output: Path,
    cuts: tuple[int, ...] = (),
    observer: Observer = NOBODY,
    save_every: int = 1,
    part: Part | None = None,
    ranks: Ranks = ALONE,
) -> JobFolder:
    """Upscale to a folder of PNGs, going on where the job folder was left; lead further ranks."""
    folder = JobFolder(output)
    with folder.locked():
        store = folder.frames("lr", lr.shape[1:], lr.dtype)
        store.write(0, lr)
        shots = [range(*ends) for ends in pairwise([0, *cuts, len(lr)])]
        shape, target = (len(lr), lr.shape[2], lr.shape[3]), TargetSize.fourfold(lr.shape[2], lr.shape[3])
        video = ReadVideo(store, shape, "", shots, Metadata(Fraction(25)), target)
        folder.claim({"seed": upscaler.seed})
        settings = part or Part(), torch.device("cpu"), save_every
        job = VideoJob(upscaler, video, folder, *settings, ranks=ranks)
        job.write(output, Coding(), ignored, observer)
        ranks.tell(None)
        folder.deliver(keep=False)
    return folder


class Dying:
    """Ends the process, or raises, at one of its writes of frames, in the middle of it."""

    def __init__(self, at: int, end) -> None:
        self.left, self.end, self.write = at, end, os.pwritev

    def __call__(self, file: int, parts, offset: int) -> int:
        self.left -= 1
        if self.left == 0:
            header, content = parts
            self.write(file, [header, content[: len(content) // 2]], offset)
            self.end()
        return self.write(file, parts, offset)


class Counting(Dying):
    """Counts the writes."""

    def __init__(self) -> None:
        super().__init__(0, None)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingWriter:
    """Ends the process when the writer of the video takes one of its chunks."""

    def __init__(self, at: int) -> None:
        self.left, self.to_samples = at, io.to_samples

    def __call__(self, frames: Tensor, dtype: torch.dtype) -> Tensor:
        self.left -= 1
        if self.left == 0:
            _kill()
        return self.to_samples(frames, dtype)


def run_killed(output: Path, stage: str, at: int) -> int:
    """Upscale in a forked process, which imports nothing, and kill it; return its exit code."""
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        torch.set_num_threads(1)  # OpenMP's threads do not outlive a fork
        if stage == "store":
            frame_stores.os.pwritev = Dying(at, _kill)  # type: ignore
        else:
            io.to_samples = DyingWriter(at)  # type: ignore
        run(make_upscaler(), make_lr(), output, cuts=(4,))
    finally:
        os._exit(1)

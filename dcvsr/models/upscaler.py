"""DC-VSR as a function from LR video to HR video.

Axes: video ``f c h w`` in [0, 1]; latent canvas ``f k h w``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self, get_args

import torch
from torch import Tensor, nn

from dcvsr.attention.observer import NOBODY, Observer
from dcvsr.attention.propagation import Propagation
from dcvsr.diffusion.initial_noise import require_seed
from dcvsr.diffusion.protocols import Advance, Combination, Guidance, Upscaler, ignored
from dcvsr.diffusion.sampler import Sampler
from dcvsr.imaging import FACTOR, Upsample
from dcvsr.models.clip_condition import LRClip
from dcvsr.models.colour_correction import ColourCorrection
from dcvsr.models.conditioning import Conditioning, ImageEncoder, ImageFrames, PixelNoise
from dcvsr.models.denoiser import Condition, Denoiser
from dcvsr.models.latents import Latents
from dcvsr.models.tiled import visits
from dcvsr.models.upscaling_job import UpscalingJob
from dcvsr.runtime.cache import Cache, NoCache
from dcvsr.runtime.choices import require_choice
from dcvsr.runtime.provenance import Origin
from dcvsr.runtime.ranks import ALONE, Ranks
from dcvsr.runtime.workspace import Memory, Workspace
from dcvsr.tiling.grid import Tile, TileGrid


@dataclass(frozen=True)
class TiledUpscaler(Upscaler):
    """The upscaler of the paper's Fig. 2: upsample x4, encode, sample over tiles, decode.

    Attributes:
        upsample, denoiser, latents, image_encoder: parts of the model.
        sampler, guidance, propagation, grid: settings of the sampling.
        blend, blend_time: widths of the Gaussian blending window in tiles, in space and over frames.
        batch: tiles of a window per U-Net batch; None for all.
        precision: precision of the network; latents, preconditioning and blending stay in float32.
        seed: seed of x_T.
        cache: stores tensors that do not depend on guidance and propagation.
        image_frames: frames of a tile that the image encoder sees (spec A12).
        noise_augmentation: strength of noise on the pixels of I^up, in [-1, 1], before encoding; equals the
            denoiser's third id (spec A14).
        colour: colour correction of the decoded video to I^up; the paper mentions none (spec A19).
        factor: of ``upsample``; 1 if the videos are I^up already.
    """

    upsample: Upsample
    denoiser: Denoiser
    latents: Latents
    image_encoder: ImageEncoder
    sampler: Sampler
    guidance: Guidance[Condition]
    propagation: Propagation
    grid: TileGrid
    blend: float
    blend_time: float
    batch: int | None
    precision: torch.dtype
    seed: int
    cache: Cache | NoCache = field(default_factory=NoCache)
    image_frames: ImageFrames = "first"
    noise_augmentation: float = 0
    colour: ColourCorrection = "none"
    factor: int = FACTOR

    def __post_init__(self) -> None:
        require_seed(self.seed)
        if self.batch is not None and self.batch < 1:
            raise ValueError(f"batch must be at least 1, or null for all tiles of a window, got {self.batch}")
        if not self.noise_augmentation >= 0:
            raise ValueError(f"noise_augmentation must be 0 or above, got {self.noise_augmentation}")
        require_choice("image_frames", self.image_frames, get_args(ImageFrames))
        require_choice("colour", self.colour, get_args(ColourCorrection))

    @property
    def origin(self) -> Origin | None:
        """Checkpoint of the denoiser, or None."""
        return self.denoiser.origin

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights of all networks."""
        return sum(tensor.nbytes for part in self.networks for tensor in part.parameters())

    @property
    def networks(self) -> list[nn.Module]:
        """Networks of the model, frozen ones included."""
        parts = self.upsample, self.denoiser, self.latents.autoencoder, self.image_encoder
        return [part for part in parts if isinstance(part, nn.Module)]

    def with_seed(self, seed: int) -> Self:
        """Return the upscaler with another seed of x_T."""
        return replace(self, seed=seed)

    def to(self, device: torch.device) -> None:
        """Move the model to ``device``."""
        for part in self.networks:
            part.to(device)

    def condition(
        self,
        lr: Tensor,
        noise: PixelNoise | None = None,
        canvas: tuple[int, int, int] | None = None,
        cache: Cache | NoCache | None = None,
    ) -> Conditioning:
        """Build what the denoiser sees of LR videos ``b f c h w``, in training as in inference."""
        model = self.upsample, self.latents, self.image_encoder, self.image_frames
        return Conditioning(lr, *model, noise, canvas, cache)

    def windows(self, frames: int, height: int, width: int, step: int = 0) -> list[list[Tile]]:
        """Return the tiles of an LR video of this length and size at a sampler step."""
        canvas = self.canvas(frames, height * self.factor, width * self.factor)
        scale = self.latents.autoencoder.factor
        return self.grid.windows(canvas[0], canvas[1] // scale, canvas[2] // scale, step)

    def memory(self, frames: int, height: int, width: int) -> int:
        """Return the bytes of upscaling a video in memory: ``stored``, HR, and ``working_memory``."""
        size = frames, height, width
        return self.stored(*size) + self._pixel_bytes(*size) + self.working_memory(height, width)

    def stored(self, frames: int, height: int, width: int) -> int:
        """Return the bytes of latents, states and sums of tiles, which the command keeps on disk."""
        size = frames, height, width
        sums = self._latent_bytes(1, height, width) * self.summed_frames(size)
        return (1 + self.states) * self._latent_bytes(*self.canvas(*size)[:1], height, width) + sums

    @property
    def states(self) -> int:
        """Number of sampler states that are kept at a time."""
        return 3 if self.sampler.solver == "heun" else 2

    def summed_frames(self, size: tuple[int, int, int]) -> int:
        """Return the frames of all windows of an evaluation, at most; windows overlap."""
        rounds = (self.propagation.round(step, self.sampler.steps) for step in range(self.sampler.steps))
        return max(
            sum(len(visit.frames) for visit in visits(self.windows(*size, step), round))
            for step, round in enumerate(rounds)
        )

    def working_memory(self, height: int, width: int) -> int:
        """Return the bytes of a window, a frame and a decoded chunk; they do not grow with the video."""
        coder, window = self.latents.autoencoder, self.grid.frames
        canvas = self.canvas(coder.chunk, height * self.factor, width * self.factor)
        sampling = 6 * self._latent_bytes(window, height, width)
        decoding = 3 * self._pixel_bytes(coder.chunk, height, width) + coder.decoding_memory(*canvas)
        return max(sampling, decoding) + 3 * self._pixel_bytes(1, height, width)

    def _latent_bytes(self, frames: int, height: int, width: int) -> int:
        _, height, width = self.canvas(1, height * self.factor, width * self.factor)
        coder = self.latents.autoencoder
        return 4 * coder.channels * frames * (height // coder.factor) * (width // coder.factor)

    def _pixel_bytes(self, frames: int, height: int, width: int) -> int:
        return 4 * 3 * frames * height * width * self.factor**2

    def work(self, frames: int, height: int, width: int) -> int:
        """Count the U-Net evaluations of single tiles in all steps."""
        return sum(
            self.evaluations((frames, height, width), step, self.guidance.evaluations(sigma))
            for step, sigma in self.sampler.evaluations
        )

    def evaluations(self, size: tuple[int, int, int], step: int, branches: int) -> int:
        """Count the U-Net evaluations of single tiles in one evaluation of the canvas.

        Args:
            size: frames, height and width of the LR video.
            step: sampler step.
            branches: estimates that the guidance combines.
        """
        windows, round = self.windows(*size, step), self.propagation.round(step, self.sampler.steps)
        tiles = [len(windows[n]) for order in round.orders(len(windows)) for n in order]
        return sum(count * round.evaluations(branch, count) for count in tiles for branch in range(branches))

    @cached_property
    def shares(self) -> list[float]:
        """Shares of an evaluation by which progress advances; see `Denoiser.stage_shares`."""
        return self.denoiser.stage_shares(self.grid.frames, self.grid.size)

    @torch.inference_mode()
    def __call__(self, lr: Tensor, advance: Advance = ignored, observer: Observer = NOBODY) -> Tensor:
        """Upscale LR ``f c h w`` of any length and size to HR ``f c 4h 4w``, clamped."""
        return _collected(self.job(LRClip.of(lr), Memory(), lr.device, advance, observer)(), lr, self.factor)

    @torch.inference_mode()
    def estimates(
        self,
        lr: Tensor,
        step: int,
        guidances: Sequence[Combination[Condition]],
        advance: Advance = ignored,
    ) -> list[Tensor]:
        """Decode the estimates of several guidances from x_t before ``step``, counted from 0."""
        job = self.job(LRClip.of(lr), Memory(), lr.device, advance)
        return [_collected(chunks, lr, self.factor) for chunks in job.estimates(step, guidances)]

    def job(
        self,
        clip: LRClip,
        workspace: Workspace,
        device: torch.device,
        advance: Advance = ignored,
        observer: Observer = NOBODY,
        save_every: int = 1,
        ranks: Ranks = ALONE,
    ) -> UpscalingJob:
        """Return the job of upscaling a clip; see `UpscalingJob`."""
        return UpscalingJob(self, clip, workspace, device, advance, observer, save_every, ranks)

    def canvas(self, frames: int, height: int, width: int) -> tuple[int, int, int]:
        """Return the canvas size that the grid needs for an HR video, in frames and pixels (spec A17)."""
        scale = self.latents.autoencoder.factor
        frames, rows, columns = self.grid.canvas(frames, -(-height // scale), -(-width // scale))
        return frames, rows * scale, columns * scale


def _collected(chunks: Iterable[Tensor], lr: Tensor, factor: int) -> Tensor:
    """Return chunks of HR frames as one video."""
    frames, channels, height, width = lr.shape
    hr, start = lr.new_empty(frames, channels, factor * height, factor * width), 0
    for chunk in chunks:
        hr[start : start + len(chunk)] = chunk
        start += len(chunk)
    return hr

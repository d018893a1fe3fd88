"""DC-VSR as a function from LR video to HR video.

Axes: video ``f c h w`` in [0, 1]; latent canvas ``f k h w``.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import islice
from typing import Self, get_args

import torch
from torch import Tensor, nn

from dcvsr.attention.observer import NOBODY, Observer
from dcvsr.attention.propagation import Propagation
from dcvsr.diffusion.initial_noise import require_seed
from dcvsr.diffusion.protocols import Advance, Combination, Guidance, Upscaler, ignored
from dcvsr.diffusion.sampler import Sampler
from dcvsr.imaging import FACTOR, Upsample
from dcvsr.models.colour_correction import ColourCorrection, corrected
from dcvsr.models.conditioning import Conditioning, ImageEncoder, ImageFrames, PixelNoise, seeded_pixel_noise
from dcvsr.models.denoiser import Condition, Denoiser
from dcvsr.models.latents import Latents
from dcvsr.models.tiled import TiledDenoiser
from dcvsr.runtime.cache import Cache, NoCache
from dcvsr.runtime.choices import require_choice
from dcvsr.runtime.provenance import Origin
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

    factor = FACTOR

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

    def with_seed(self, seed: int) -> Self:
        """Return the upscaler with another seed of x_T."""
        return replace(self, seed=seed)

    def to(self, device: torch.device) -> None:
        """Move the model to ``device``."""
        for part in (self.upsample, self.denoiser, self.latents.autoencoder, self.image_encoder):
            if isinstance(part, nn.Module):
                part.to(device)

    def condition(
        self,
        lr: Tensor,
        noise: PixelNoise | None = None,
        canvas: tuple[int, int, int] | None = None,
        at_once: int | None = None,
        cache: Cache | NoCache | None = None,
    ) -> Conditioning:
        """Build what the denoiser sees of LR videos ``b f c h w``, in training as in inference."""
        model = self.upsample, self.latents, self.image_encoder, self.image_frames
        return Conditioning(lr, *model, noise, canvas, at_once, cache)

    def windows(self, frames: int, height: int, width: int, step: int = 0) -> list[list[Tile]]:
        """Return the tiles of an LR video of this length and size at a sampler step."""
        canvas = self._padded(frames, height * self.factor, width * self.factor)
        scale = self.latents.autoencoder.factor
        return self.grid.windows(canvas[0], canvas[1] // scale, canvas[2] // scale, step)

    def memory(self, frames: int, height: int, width: int) -> int:
        """Return the bytes of decoding and ten copies of the upsampled video, latents and noise included."""
        canvas = self._padded(frames, height * self.factor, width * self.factor)
        copies = 10 * 4 * 3 * frames * height * width * self.factor**2
        return copies + self.latents.autoencoder.decoding_memory(*canvas)

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
    def _shares(self) -> list[float]:
        return self.denoiser.stage_shares(self.grid.frames, self.grid.size)

    @torch.inference_mode()
    def __call__(self, lr: Tensor, advance: Advance = ignored, observer: Observer = NOBODY) -> Tensor:
        """Upscale LR ``f c h w`` of any length and size to HR ``f c 4h 4w``, clamped."""
        with torch.autocast(lr.device.type, enabled=False):  # a trainer's precision is not ours
            job = _Job(self, lr, advance, observer)
            with job.sampling():
                y = self.sampler(job.denoiser(self.guidance), job.conditioning.x_T(self.seed))
            return job.decoded(y)

    @torch.inference_mode()
    def estimates(
        self,
        lr: Tensor,
        step: int,
        guidances: Sequence[Combination[Condition]],
        advance: Advance = ignored,
    ) -> list[Tensor]:
        """Decode the estimates of several guidances from x_t before ``step``, counted from 0."""
        with torch.autocast(lr.device.type, enabled=False):
            job = _Job(self, lr, advance)
            with job.sampling():
                states = self.sampler.states(job.denoiser(self.guidance), job.conditioning.x_T(self.seed))
                x, sigma = next(islice(states, step, None)), self.sampler.sigmas[step]
                D = [job.denoiser(guidance)(x, sigma, step) for guidance in guidances]
            return [job.decoded(D_x) for D_x in D]

    def _padded(self, frames: int, height: int, width: int) -> tuple[int, int, int]:
        """Return the canvas size that the grid needs, in frames and pixels (spec A17)."""
        scale = self.latents.autoencoder.factor
        frames, rows, columns = self.grid.canvas(frames, -(-height // scale), -(-width // scale))
        return frames, rows * scale, columns * scale


class _Job:
    """State of one video in an upscaler."""

    def __init__(
        self,
        upscaler: TiledUpscaler,
        lr: Tensor,
        advance: Advance = ignored,
        observer: Observer = NOBODY,
    ) -> None:
        self.upscaler, self.advance, self.observer = upscaler, advance, observer
        self.lr_shape = lr.shape
        frames, _, height, width = lr.shape
        canvas = upscaler._padded(frames, height * upscaler.factor, width * upscaler.factor)
        strength = upscaler.noise_augmentation
        noise = seeded_pixel_noise(strength, upscaler.seed, canvas, lr.device) if strength else None
        self.conditioning = upscaler.condition(lr[None], noise, canvas, at_once=1, cache=upscaler.cache)
        self.latent = self.conditioning.latent

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Enter the network's precision and its propagated layers."""
        kind, dtype = self.latent.device.type, self.upscaler.precision
        with (
            torch.autocast(kind, dtype, enabled=dtype != torch.float32),
            self.upscaler.denoiser.propagated(),
        ):
            yield

    def denoiser(self, guidance: Combination[Condition]) -> TiledDenoiser:
        up = self.upscaler
        _, frames, _, rows, columns = self.latent.shape
        windows = partial(up.grid.windows, frames, rows, columns)
        return TiledDenoiser(
            up.denoiser,
            guidance,
            up.propagation,
            windows,
            self.conditioning.condition,
            up.blend,
            up.blend_time,
            up.sampler.steps,
            up.batch,
            self.advance,
            [] if self.advance is ignored else up._shares,
            self.observer,
        )

    def decoded(self, y: Tensor) -> Tensor:
        """Return the HR video without padding, with colours corrected to I^up."""
        hr = self.upscaler.latents.decode(y[None], self.latent)[0]
        frames, _, height, width = self.lr_shape
        hr, up = (
            video[:frames, :, : height * TiledUpscaler.factor, : width * TiledUpscaler.factor]
            for video in (hr, self.conditioning.up[0])
        )
        return corrected(hr, up, self.upscaler.colour).clamp(0, 1)

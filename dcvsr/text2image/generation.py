"""Image generation from captions by a diffusers pipeline with one of our guidances (Table 3)."""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from dcvsr.diffusion.protocols import Guidance
from dcvsr.text2image.guided_unet import GuidedUNet, Prompt, guided


@dataclass(frozen=True)
class GeneratedImages:
    """Images of one batch.

    Args:
        images: by number.
        forwards: U-Net evaluations per sampler step.
        evaluations: U-Net evaluations in total, counted per image.
        seconds: duration of the batch.
    """

    images: dict[int, Image.Image]
    forwards: float
    evaluations: int
    seconds: float


@dataclass(frozen=True)
class ImageGeneration:
    """Generator of image i from caption i and noise of (seed, i), independent of the other images in a batch.

    Args:
        pipe: Stable Diffusion.
        guidance: applied in the place of the pipeline's own.
        captions: one per image.
        steps: sampler steps.
        seed: of the noise.
    """

    pipe: Any
    guidance: Guidance[Prompt]
    captions: Sequence[str]
    steps: int
    seed: int

    def __call__(self, batches: Sequence[Sequence[int]]) -> Iterator[GeneratedImages]:
        """Yield the images of each batch of numbers."""
        with torch.no_grad():
            null, _ = self.pipe.encode_prompt("", self.pipe.device, 1, do_classifier_free_guidance=False)
        with guided(self.pipe, self.guidance, null) as unet:
            for numbers in batches:
                yield self._generated(numbers, unet)

    def _generated(self, numbers: Sequence[int], unet: GuidedUNet) -> GeneratedImages:
        began, unet.forwards, unet.iterations = time.perf_counter(), 0, 0
        images = self.pipe(
            [self.captions[i] for i in numbers],
            num_inference_steps=self.steps,
            guidance_scale=1,
            generator=[self._noise(i) for i in numbers],
        ).images
        return GeneratedImages(
            dict(zip(numbers, images, strict=True)),
            unet.forwards / unet.iterations,
            unet.forwards * len(numbers),
            time.perf_counter() - began,
        )

    def _noise(self, number: int) -> torch.Generator:
        return torch.Generator().manual_seed(random.Random(f"{self.seed}/{number}").getrandbits(63))

"""Images of captions by a diffusers pipeline under one of our guidances (Table 3)."""

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
    """Images made together.

    Args:
        images: by number.
        forwards: evaluations of the U-Net per iteration.
        evaluations: of the U-Net, of an image each.
    """

    images: dict[int, Image.Image]
    forwards: float
    evaluations: int
    seconds: float


@dataclass(frozen=True)
class Drawing:
    """What is drawn, and how: image i of caption i, from noise of (seed, i), whatever else is drawn with it.

    Args:
        pipe: Stable Diffusion.
        steps: iterations of its sampler.
    """

    pipe: Any
    guidance: Guidance[Prompt]
    captions: Sequence[str]
    steps: int
    seed: int

    def __call__(self, batches: Sequence[Sequence[int]]) -> Iterator[GeneratedImages]:
        """Images by their numbers, batch by batch."""
        with torch.no_grad():
            null, _ = self.pipe.encode_prompt("", self.pipe.device, 1, do_classifier_free_guidance=False)
        with guided(self.pipe, self.guidance, null) as unet:
            for numbers in batches:
                yield self._drawn(numbers, unet)

    def _drawn(self, numbers: Sequence[int], unet: GuidedUNet) -> GeneratedImages:
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

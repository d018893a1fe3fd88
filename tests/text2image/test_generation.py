"""Generated images are reproducible by number and their cost is counted."""

import numpy as np
import pytest

from dcvsr.diffusion.guidance import CFG
from dcvsr.text2image.generation import GeneratedImages, ImageGeneration
from dcvsr.text2image.stable_diffusion import small_random


@pytest.fixture(scope="module")
def generate() -> ImageGeneration:
    pipe = small_random()
    pipe.set_progress_bar_config(disable=True)
    return ImageGeneration(pipe, CFG(6.5), ["a", "b", "b"], steps=2, seed=0)


def pixels(generated: GeneratedImages, number: int) -> np.ndarray:
    return np.asarray(generated.images[number]).astype(int)


def test_an_image_does_not_depend_on_its_batch(generate: ImageGeneration) -> None:
    together, alone = generate([[0, 1], [1]])
    assert np.abs(pixels(together, 1) - pixels(alone, 1)).max() <= 1  # rounding
    assert np.abs(pixels(together, 0) - pixels(together, 1)).max() > 10


def test_images_of_one_caption_have_different_noise(generate: ImageGeneration) -> None:
    (both,) = generate([[1, 2]])
    assert np.abs(pixels(both, 1) - pixels(both, 2)).max() > 10


def test_evaluations_are_counted_per_image(generate: ImageGeneration) -> None:
    two, one = generate([[0, 1], [2]])
    assert (two.forwards, one.forwards) == (2, 2)
    assert (two.evaluations, one.evaluations) == (2 * 2 * 2, 2 * 2)
    assert one.seconds > 0

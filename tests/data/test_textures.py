"""Tests of textures: spectrum of natural images, no seams, band limit."""

from itertools import pairwise

import torch
from torch import Generator, Tensor

from dcvsr.data.textures import TEXELS, blobs, dead_leaves, lettering
from dcvsr.degradation.resample import Antialiased
from dcvsr.imaging import upsample


def texture(seed: int = 0) -> Tensor:
    return dead_leaves(128, 160, Generator().manual_seed(seed))


def words(seed: int = 0) -> Tensor:
    return lettering(128, 160, Generator().manual_seed(seed))


def amplitude(picture: Tensor, low: float, high: float) -> float:
    """Return the RMS of luma's spectrum between two frequencies in cycles per pixel."""
    spectrum = torch.fft.rfft2(picture.mean(0)).abs()
    rows, columns = (torch.fft.fftfreq(side) for side in picture.shape[1:])
    frequency = TEXELS * torch.hypot(rows[:, None], columns[: spectrum.shape[1]].abs())
    return float(spectrum[(frequency >= low) & (frequency < high)].square().mean().sqrt())


def test_a_texture_is_in_range_and_has_colour() -> None:
    picture = texture()
    assert picture.shape == (3, TEXELS * 128, TEXELS * 160)
    assert picture.min() >= 0
    assert picture.max() <= 1
    assert ((picture == 0) | (picture == 1)).float().mean() < 0.05
    assert (picture - picture.mean(0)).std() > 0.03


def test_amplitude_falls_with_frequency_as_in_natural_images() -> None:
    bands = [amplitude(texture(), low, 2 * low) for low in (0.025, 0.05, 0.1)]
    for coarse, fine in pairwise(bands):
        assert 1.4 < coarse / fine < 4


def test_there_is_no_energy_above_nyquist() -> None:
    assert amplitude(texture(), 0.5, 1) < 0.02 * amplitude(texture(), 0.05, 0.1)


def test_textures_have_detail_that_bicubic_cannot_restore() -> None:
    frame = texture()[None, :, ::TEXELS, ::TEXELS]
    lr = Antialiased()(frame[0], (frame.shape[2] // 4, frame.shape[3] // 4), "bicubic")[None]
    assert 18 < -10 * (upsample(lr) - frame).square().mean().log10() < 30


def test_a_texture_repeats_without_a_seam() -> None:
    for picture in (texture(), words(), blobs(128, 160, Generator().manual_seed(0))):
        for axis in (1, 2):
            jumps = (picture - picture.roll(1, axis)).abs().mean(dim=[0, 3 - axis])
            assert jumps[0] < 1.5 * max(jumps[1], jumps[-1])


def test_blobs_cover_a_third_of_the_area() -> None:
    assert abs(blobs(128, 160, Generator().manual_seed(0)).mean() - 1 / 3) < 0.01


def test_words_stand_on_plates_and_on_what_is_behind() -> None:
    pictures = torch.stack([words(seed) for seed in range(8)])
    assert pictures.shape == (8, 4, TEXELS * 128, TEXELS * 160)
    assert pictures.min() == 0
    assert pictures.max() <= 1
    opacity = pictures[:, 3]
    assert 0.2 < opacity.mean() < 0.8
    whole_rows = (opacity > 0.99).all(-1)
    assert 0.1 < whole_rows.float().mean() < 0.6
    on_plates = pictures[:, :3].permute(0, 2, 1, 3)[whole_rows]
    assert on_plates.std(-1).mean() > 0.03  # of ink and paper
    assert (opacity[~whole_rows] > 0.9).float().mean() > 0.02


def test_words_have_no_energy_above_nyquist() -> None:
    assert amplitude(words()[:3], 0.6, 1) < 0.02 * amplitude(words()[:3], 0.05, 0.1)

"""Noise in flat regions against known noise levels."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from dcvsr.metrics.flat_noise import FlatNoise, magnitude
from dcvsr.runtime.cli import CONF
from dcvsr.runtime.errors import UserError


@cache
def metrics() -> dict[str, FlatNoise]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return dict(instantiate(compose("evaluate", ["metrics=flat_noise", "ckpt=null"]).metrics))


def ratio(restored: Tensor, reference: Tensor, name: str = "flat_noise") -> float:
    metric = metrics()[name]
    metric.reset()
    metric.update(restored, reference)
    return float(metric.compute())


def flat(level: float = 0.5) -> Tensor:
    return torch.full((4, 3, 64, 96), level)


def noisy(clip: Tensor, levels: float, seed: int = 0) -> Tensor:
    """Add the same grain to all colours, which changes luma alone."""
    grain = torch.randn(clip.shape[0], 1, *clip.shape[2:], generator=torch.Generator().manual_seed(seed))
    return clip + levels / 255 * grain


def edges() -> Tensor:
    """Clip of a dark disc and a bright slanted stripe on gray."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(96.0), indexing="ij")
    picture = torch.where((y - 32).square() + (x - 30).square() < 150, 0.1, 0.5)
    return torch.where((x - 70 + 0.3 * y).abs() < 4, 0.9, picture).expand(4, 3, 64, 96).clone()


def test_the_mean_magnitude_equals_immerkaers_eq_4():
    """Immerkaer 1996, Eq. (4), computed pixel by pixel in numpy."""
    clip = torch.rand(1, 1, 9, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    I = clip[0, 0].numpy()
    total = sum(
        abs(np.sum(I[y - 1 : y + 2, x - 1 : x + 2] * np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])))
        for y in range(1, 8)
        for x in range(1, 6)
    )
    expected = math.sqrt(math.pi / 2) / (6 * (7 - 2) * (9 - 2)) * total
    assert magnitude(clip).mean().item() == pytest.approx(expected, rel=1e-12)


def test_a_constant_has_no_noise():
    assert magnitude(flat().double()).max() < 1e-12


@pytest.mark.parametrize("levels", [1.0, 5.0, 20.0])
def test_white_noise_is_measured_within_five_percent(levels):
    clip = 255 * noisy(flat(), levels).double()
    assert magnitude(clip).mean(dim=(0, 2, 3)).tolist() == pytest.approx([levels] * 3, rel=0.05)


def test_a_clip_against_itself_scores_one():
    clip = noisy(edges(), 4).clamp(0, 1)
    assert [ratio(clip, clip, name) for name in metrics()] == [1, 1]


def test_twice_the_noise_scores_two():
    assert ratio(noisy(flat(), 12, seed=1), noisy(flat(), 6)) == pytest.approx(2, rel=0.05)


def test_edges_do_not_count():
    """Edges do not change the noise ratio, and sharper edges do not count as noise."""
    on_edges = ratio(noisy(edges(), 12, seed=1).clamp(0, 1), noisy(edges(), 6).clamp(0, 1))
    assert on_edges == pytest.approx(2, rel=0.05)
    soft = gaussian_blur(edges(), [7, 7], [1.0])
    assert ratio(edges(), soft) < 1.05


def test_blur_does_not_score_below_one():
    clip = noisy(flat(), 6)
    assert ratio(gaussian_blur(clip, [7, 7], [1.5]), clip) == 1


def test_coloured_noise_raises_the_chroma_score_and_gray_noise_the_luma_score():
    gray, coloured = noisy(flat(), 6), flat()
    grain = torch.randn(4, 1, 64, 96, generator=torch.Generator().manual_seed(5))
    coloured += 6 / 255 * grain * torch.tensor([1.0, 0, -0.299 / 0.114])[:, None, None]
    assert ratio(gray, flat()) > 10
    assert ratio(gray, flat(), "flat_noise_chroma") < 1.5
    assert ratio(coloured, flat(), "flat_noise_chroma") > 10
    assert ratio(coloured, flat()) < 2.5


def test_a_clip_without_flat_regions_scores_nan():
    ramp = torch.linspace(0, 1, 96).expand(1, 3, 64, 96)
    assert math.isnan(ratio(ramp, ramp))


def test_a_clip_too_small_to_be_smoothed_is_rejected():
    small = flat()[:, :, :14, :14]
    with pytest.raises(UserError, match=r"noise needs 15 pixels a side, got 4 frames of 14x14"):
        ratio(small, small)


def test_clips_of_different_sizes_are_rejected():
    with pytest.raises(UserError, match="nothing is cropped"):
        ratio(flat(), flat()[:, :, 1:])

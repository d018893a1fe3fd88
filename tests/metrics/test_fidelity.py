"""PSNR and SSIM against their formulas in float64, their symmetries, and published values."""

import csv
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from dcvsr.metrics.fidelity import CAP, PSNR, PSNRY, SSIM, SSIMRGB, PooledPSNR, PooledPSNRY
from dcvsr.metrics.framewise import Framewise
from tests.comparing import rise

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden"
METRICS = [PSNR, PSNRY, PooledPSNR, PooledPSNRY, SSIM, SSIMRGB]


def pair(seed: int, frames: int = 3, height: int = 17, width: int = 21) -> tuple[Tensor, Tensor]:
    """A noisy clip and its reference, ``f c h w``, eight-bit levels in [0, 1]."""
    rng = np.random.default_rng(seed)
    clip = rng.integers(0, 256, (frames, 3, height, width))
    noisy = (clip + rng.normal(0, rng.uniform(1, 60), clip.shape)).round().clip(0, 255)
    return torch.from_numpy(noisy / 255).float(), torch.from_numpy(clip / 255).float()


def value(metric: Framewise, restored: Tensor, reference: Tensor) -> float:
    metric.update(restored, reference)
    return float(metric.compute())


def reference_psnr(x: np.ndarray, y: np.ndarray) -> float:
    return 10 * math.log10(255**2 / np.mean((x - y) ** 2))


def reference_psnr_y(x: np.ndarray, y: np.ndarray) -> float:
    """PSNR of ITU-R BT.601 luma, which spans 219 of 255 levels, starting at 16."""
    luma = [16 + 219 / 255 * (0.299 * r + 0.587 * g + 0.114 * b) for r, g, b in (x, y)]
    return reference_psnr(*luma)


def reference_ssim_y(x: np.ndarray, y: np.ndarray) -> float:
    return reference_ssim(*(np.round((299 * r + 587 * g + 114 * b) / 1000) for r, g, b in (x, y)))


def reference_ssim_rgb(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean([reference_ssim(*colours) for colours in zip(x, y, strict=True)]))


def reference_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Wang et al. 2004, Eqs. (13) to (16), one window at a time, with central moments."""
    rows, columns = np.mgrid[-5:6, -5:6]
    w = np.exp(-(rows**2 + columns**2) / (2 * 1.5**2))
    w /= w.sum()
    scores = []
    for a, b in zip(
        *(np.lib.stride_tricks.sliding_window_view(v, (11, 11)).reshape(-1, 11, 11) for v in (x, y)),
        strict=True,
    ):
        mu_a, mu_b = (w * a).sum(), (w * b).sum()
        var_a, var_b = (w * (a - mu_a) ** 2).sum(), (w * (b - mu_b) ** 2).sum()
        cov = (w * (a - mu_a) * (b - mu_b)).sum()
        c_1, c_2 = 2.55**2, 7.65**2
        scores.append(
            (2 * mu_a * mu_b + c_1) * (2 * cov + c_2) / ((mu_a**2 + mu_b**2 + c_1) * (var_a + var_b + c_2))
        )
    return float(np.mean(scores))


@pytest.mark.parametrize(
    ("metric", "formula"),
    [
        (PSNR, reference_psnr),
        (PSNRY, reference_psnr_y),
        (SSIM, reference_ssim_y),
        (SSIMRGB, reference_ssim_rgb),
    ],
)
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(11, 24), width=st.integers(11, 24))
@settings(max_examples=20)
def test_a_clip_scores_the_formula_averaged_over_its_frames(
    metric: type[Framewise],
    formula: Callable[[np.ndarray, np.ndarray], float],
    seed: int,
    height: int,
    width: int,
) -> None:
    restored, reference = pair(seed, 2, height, width)
    levels = [np.round(clip.double().numpy() * 255) for clip in (restored, reference)]
    expected = np.mean([formula(x, y) for x, y in zip(*levels, strict=True)])
    assert value(metric(), restored, reference) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("level", [0, 77, 255])
def test_a_flat_clip_scores_perfectly_against_itself(level: int) -> None:
    flat = torch.full((2, 3, 32, 32), level / 255)
    assert value(PSNR(), flat, flat) == CAP
    assert value(SSIM(), flat, flat) == 1


def test_a_clip_scores_perfectly_against_itself() -> None:
    clip, _ = pair(0)
    assert value(PSNR(), clip, clip) == CAP
    assert value(SSIM(), clip, clip) == 1


@pytest.mark.parametrize(("metric", "formula"), [(PSNR, reference_psnr), (PSNRY, reference_psnr_y)])
def test_a_frame_equal_to_its_reference_contributes_the_cap_to_the_mean(
    metric: type[Framewise], formula: Callable[[np.ndarray, np.ndarray], float]
) -> None:
    restored, reference = pair(4, 2)
    levels = [np.round(clip.double().numpy() * 255) for clip in (restored, reference)]
    others = [formula(x, y) for x, y in zip(*levels, strict=True)]
    black = torch.zeros(1, 3, 17, 21)
    faded = [torch.cat([black, clip]) for clip in (restored, reference)]
    assert value(metric(), *faded) == pytest.approx(np.mean([CAP, *others]), rel=1e-6)


@pytest.mark.parametrize(
    ("metric", "formula"), [(PooledPSNR, reference_psnr), (PooledPSNRY, reference_psnr_y)]
)
@pytest.mark.parametrize("equal", [0, 1, 5])
def test_pooled_psnr_uses_the_mean_squared_error_over_all_frames(
    metric: type[Framewise], formula: Callable[[np.ndarray, np.ndarray], float], equal: int
) -> None:
    restored, reference = pair(5, 2)
    levels = [np.round(clip.double().numpy() * 255) for clip in (restored, reference)]
    errors = [10 ** (-formula(x, y) / 10) for x, y in zip(*levels, strict=True)] + [0] * equal
    black = torch.zeros(equal, 3, 17, 21)
    faded = [torch.cat([black, clip]) for clip in (restored, reference)]
    assert value(metric(), *faded) == pytest.approx(-10 * math.log10(np.mean(errors)), rel=1e-6)


@pytest.mark.parametrize("metric", [PSNR, PSNRY, PooledPSNR, PooledPSNRY])
def test_zero_and_tiny_errors_score_the_cap(metric: type[Framewise]) -> None:
    clip = torch.full((2, 3, 64, 64), 100 / 255)
    almost = clip.clone()
    almost[:, :, 0, 0] = 101 / 255
    assert value(metric(), clip, clip) == value(metric(), almost, clip) == CAP == 6 * 8 + 12


@pytest.mark.parametrize("levels", [1, 5, 100])
def test_a_constant_offset_scores_its_own_psnr(levels: int) -> None:
    clip = torch.full((2, 3, 8, 8), 100 / 255)
    assert value(PSNR(), clip + levels / 255, clip) == pytest.approx(20 * math.log10(255 / levels), abs=1e-4)


@pytest.mark.parametrize("metric", METRICS)
def test_scores_are_symmetric_in_restored_and_reference(metric: type[Framewise]) -> None:
    restored, reference = pair(1)
    assert value(metric(), restored, reference) == pytest.approx(
        value(metric(), reference, restored), rel=1e-7
    )


@pytest.mark.parametrize("metric", METRICS)
def test_mirrored_clips_score_the_same(metric: type[Framewise]) -> None:
    restored, reference = pair(2)
    mirrored = value(metric(), restored.flip(-1, -2), reference.flip(-1, -2))
    assert mirrored == pytest.approx(value(metric(), restored, reference), rel=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_more_noise_scores_worse(metric: type[Framewise]) -> None:
    _, clip = pair(3)
    noise = torch.randn(clip.shape, generator=torch.Generator().manual_seed(0))
    scores = [value(metric(), clip + sigma * noise, clip) for sigma in (0.01, 0.03, 0.1, 0.3)]
    assert rise(scores[::-1])


@pytest.mark.parametrize("metric", [PSNR, SSIM])
@pytest.mark.parametrize("image", ["I03", "I04", "I06", "I08", "I19"])
def test_published_values_are_reproduced(metric: type[Framewise], image: str) -> None:
    if not GOLDEN.is_dir():
        pytest.skip("golden images are absent")
    with (GOLDEN / "iqa_official.csv").open() as file:
        published = {row["Method"]: float(row[f"{image}.bmp"]) for row in csv.DictReader(file)}
    clips = []
    for kind in ("dist", "ref"):
        picture = Image.open(GOLDEN / f"iqa_{kind}_{image}.bmp").convert("RGB")
        clips.append(torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 255)
    name, digit = {PSNR: ("psnr", 1e-2), SSIM: ("ssim", 1e-4)}[metric]
    assert value(metric(), *clips) == pytest.approx(published[name], abs=digit)

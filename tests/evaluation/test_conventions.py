"""Conventions of metrics against their formulas in float64."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from dcvsr.evaluation.calibration.conventions import (
    FunctionMetric,
    PreprocessedMetric,
    PreprocessedNIQE,
    StableVSRFlow,
)
from dcvsr.evaluation.calibration.frame_conventions import (
    cropped,
    luma,
    rounded_luma,
    rounded_video_luma,
    video_luma,
)
from dcvsr.metrics.fidelity import PSNR, PSNRY, SSIM, PooledPSNR
from dcvsr.metrics.framewise import Framewise
from dcvsr.metrics.no_reference import NIQE
from dcvsr.runtime.errors import UserError


def clips(frames: int = 3, height: int = 24, width: int = 30) -> tuple[Tensor, Tensor]:
    """A noisy clip, whose noise grows from frame to frame, and its reference, in eight-bit levels."""
    rng = np.random.default_rng(0)
    clip = rng.integers(0, 256, (frames, 3, height, width))
    noise = rng.normal(0, 1, clip.shape) * 10 * np.arange(1, frames + 1).reshape(-1, 1, 1, 1)
    noisy = (clip + noise).round().clip(0, 255)
    return torch.from_numpy(noisy / 255).float(), torch.from_numpy(clip / 255).float()


def value(metric: Framewise, restored: Tensor, reference: Tensor) -> float:
    metric.reset()
    metric.update(restored, reference)
    return float(metric.compute())


def test_pooled_psnr_averages_over_all_pixels_of_all_frames() -> None:
    restored, reference = clips()
    error = (restored.double() - reference.double()).square().mean().item()
    pooled = value(PooledPSNR(), restored, reference)
    assert pooled == pytest.approx(-10 * math.log10(error), abs=1e-4)
    assert pooled < value(PSNR(), restored, reference) - 0.1


def test_preprocessing_gets_eight_bit_frames_and_its_result_is_not_rounded() -> None:
    restored, reference = clips(1)
    pixels = [clip.double().mul(255).round() for clip in (restored + 0.3 / 255, reference)]
    lumas = [(0.299 * r + 0.587 * g + 0.114 * b) for r, g, b in (x[0] for x in pixels)]
    expected = 10 * math.log10(255**2 / (lumas[0] - lumas[1]).square().mean().item())
    assert value(PreprocessedMetric(PSNR(), luma), restored + 0.3 / 255, reference) == pytest.approx(
        expected, abs=1e-6
    )


def test_psnr_of_video_luma_equals_psnr_y() -> None:
    assert value(PreprocessedMetric(PSNR(), video_luma), *clips()) == pytest.approx(
        value(PSNRY(), *clips()), abs=1e-6
    )


def test_preprocessing_can_be_nested() -> None:
    restored, reference = clips()
    both = PreprocessedMetric(PreprocessedMetric(PSNR(), rounded_video_luma), partial(cropped, border=4))
    inner = [clip[..., 4:-4, 4:-4] for clip in (restored, reference)]
    assert value(both, restored, reference) == pytest.approx(
        value(PreprocessedMetric(PSNR(), rounded_video_luma), *inner), abs=1e-6
    )


def test_a_preprocessed_metric_keeps_the_metrics_minimum_size() -> None:
    with pytest.raises(UserError, match="needs 11x11"):
        PreprocessedMetric(SSIM(), luma).update(torch.zeros(1, 3, 10, 20), torch.zeros(1, 3, 10, 20))


def test_a_functions_values_are_averaged_over_frames() -> None:
    restored, reference = clips()
    worst = FunctionMetric(lambda x, y: (x - y).abs().max())
    expected = (restored - reference).abs().amax(dim=(1, 2, 3)).mean().item()
    assert value(worst, restored, reference) == pytest.approx(expected, rel=1e-6)


@pytest.fixture(scope="module")
def niqe() -> NIQE:
    try:
        return NIQE()
    except UserError as error:
        pytest.skip(str(error))


def picture() -> Tensor:
    """Random texture of several scales, ``1 3 192 192``."""
    generator = torch.Generator().manual_seed(0)
    parts = [torch.rand(1, 3, side, side, generator=generator) for side in (12, 48, 192)]
    sizes = [torch.nn.functional.interpolate(part, 192, mode="bicubic") for part in parts]
    return (torch.cat(sizes).mean(dim=0, keepdim=True).clamp(0, 1) * 255).round() / 255


def test_preprocessed_niqe_equals_basicsrs_on_float64_levels(niqe: NIQE) -> None:
    seen = np.round(255 * luma(picture())[0, 0].numpy(), 9)
    expected = niqe._niqe.niqe(seen, *niqe._pristine)
    assert value(PreprocessedNIQE(luma), picture(), picture()) == pytest.approx(expected, rel=1e-6)
    assert abs(value(PreprocessedNIQE(rounded_video_luma), picture(), picture()) - expected) > 1e-6 * expected


def test_rounded_levels_stay_integers_in_niqe(niqe: NIQE, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(niqe._niqe, "niqe", lambda levels, *_: seen.append(levels) or 0.0)
    PreprocessedNIQE(rounded_luma).update(picture(), None)
    assert np.array_equal(seen[0], np.round(seen[0]))


def test_preprocessed_niqe_does_not_change_niqe(niqe: NIQE) -> None:
    before = value(niqe, picture(), picture())
    value(PreprocessedNIQE(luma), picture(), picture())
    assert value(niqe, picture(), picture()) == before


def test_stablevsrs_flow_swaps_the_frames_and_maps_them_to_half_to_one() -> None:
    calls = []

    def flow(first: Tensor, second: Tensor) -> Tensor:
        calls.append((first, second))
        return first[:, :2]

    first, second = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    StableVSRFlow(flow)(first, second)
    assert [frame.mean().item() for frame in calls[0]] == [1, 0.5]

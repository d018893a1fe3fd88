"""tOF, tLP and the warping error: formulas in float64, known flows, and faults that they must detect."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torchmetrics import Metric
from torchvision.models.optical_flow import raft_large

from dcvsr.data.synthetic import Occlusion, Translation
from dcvsr.imaging import to_bytes, to_unit
from dcvsr.metrics.flow import DIS, Farneback, Flow
from dcvsr.metrics.perceptual import LPIPS
from dcvsr.metrics.temporal import TLP, TOF, TOFFarneback, WarpingError
from dcvsr.runtime.cli import CONF
from dcvsr.runtime.errors import UserError
from tests.comparing import rise

FARNEBACK = Farneback(0.5, 3, 15, 3, 5, 1.2, 0)


@dataclass(frozen=True)
class KnownFlow:
    """Estimator that returns the exact flow between frames of the given translations, in both directions."""

    clips: Sequence[Translation]

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        for clip in self.clips:
            video = to_unit(clip.read(0, len(clip)))
            places = [[torch.equal(frame, each[0]) for frame in video] for each in (first, second)]
            if all(map(any, places)):
                here, there = (place.index(True) for place in places)
                return (there - here) * clip.flow(0)[None]
        raise AssertionError("no clip has these frames")


@cache
def built(kind: str) -> Metric:
    try:
        return {
            "tof": lambda: TOF(DIS(2)),
            "tof_farneback": lambda: TOFFarneback(FARNEBACK),
            "tlp": TLP,
            "warping_error": lambda: WarpingError(DIS(2)),
        }[kind]()
    except UserError as error:
        pytest.skip(f"no backbone: {error}")


METRICS = ["tof", "tof_farneback", "tlp", "warping_error"]


def value(metric: Metric, restored: Tensor, reference: Tensor | None) -> float:
    metric.reset()
    metric.update(restored, reference)
    return float(metric.compute())


def sliding(dx: float, dy: float, frames: int = 4, seed: int = 0) -> Translation:
    return Translation(seed=seed, frames=frames, height=64, width=80, dx=dx, dy=dy)


@cache
def real_clip() -> Tensor:
    """Nine frames of shapes that move over a background: ``f c h w``, eight-bit levels."""
    clip = Occlusion(seed=1, frames=9, height=64, width=80, dx=1.5, dy=0.5, front_dx=-2, front_dy=1)
    return to_unit(clip.read(0, 9))


def blurred(clip: Tensor, sigma: float) -> Tensor:
    offset = torch.arange(-6, 7)
    taps = torch.softmax(-(offset**2) / (2 * sigma**2), dim=0).expand(3, 1, 1, 13)
    wide = F.pad(clip, [6] * 4, mode="replicate")
    return F.conv2d(F.conv2d(wide, taps, groups=3), taps.mT, groups=3)


def noisy(clip: Tensor, sigma: float) -> Tensor:
    noise = torch.randn(clip.shape, generator=torch.Generator().manual_seed(0))
    return to_unit(to_bytes(clip + sigma * noise))


def levels(clip: Tensor) -> np.ndarray:
    """Convert a clip to ``f h w c``, uint8."""
    return (clip.double() * 255).round().permute(0, 2, 3, 1).numpy().astype(np.uint8)


def opencv(estimate: Callable[..., np.ndarray], clip: Tensor, *settings: float) -> list[np.ndarray]:
    """Flow of each frame to the next, ``h w xy``, in float64."""
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in levels(clip)]
    return [estimate(gray[i - 1], gray[i], None, *settings).astype(np.float64) for i in range(1, len(gray))]


def test_tof_of_two_translations_is_their_motion_difference() -> None:
    restored, reference = sliding(1, 2), sliding(3, -1, seed=1)
    metric = TOF(KnownFlow([restored, reference]))
    score = value(metric, *(to_unit(clip.read(0, 4)) for clip in (restored, reference)))
    assert score == pytest.approx(2 + 3, rel=1e-6)
    assert {name: float(reading) for name, reading in metric.readings().items()} == pytest.approx(
        {"endpoint": 13**0.5, "components": 2.5}, rel=1e-6
    )


def test_estimated_tof_is_within_a_fraction_of_a_pixel_of_exact_tof() -> None:
    clips = [sliding(1, 2), sliding(3, -1, seed=1)]
    videos = [to_unit(clip.read(0, 4)) for clip in clips]
    inner = [video[..., 8:-8, 8:-8] for video in videos]
    assert value(TOF(DIS(2)), *inner) == pytest.approx(value(TOF(KnownFlow(clips)), *videos), abs=0.25)


def test_tof_follows_eq_13() -> None:
    restored, reference = noisy(real_clip(), 0.05), real_clip()
    flows = zip(
        *(opencv(cv2.DISOpticalFlow.create(2).calc, clip) for clip in (restored, reference)), strict=True
    )
    pairs = []
    for of_hat, of in flows:
        difference = of_hat - of
        pairs.append(
            sum(abs(du) + abs(dv) for row in difference for du, dv in row)
            / (difference.shape[0] * difference.shape[1])
        )
    assert len(pairs) == 8
    assert value(built("tof"), restored, reference) == pytest.approx(sum(pairs) / 8, rel=1e-5)


def test_tlp_follows_eq_14() -> None:
    restored, reference = noisy(real_clip(), 0.05)[:4], real_clip()[:4]
    tlp, lpips = built("tlp"), LPIPS()
    changes = [
        [value(lpips, clip[i - 1 : i], clip[i : i + 1]) for i in range(1, 4)]
        for clip in (restored, reference)
    ]
    expected = np.mean([100 * abs(g_hat - g) for g_hat, g in zip(*changes, strict=True)])
    assert expected > 0.1
    assert value(tlp, restored, reference) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("size", [(64, 80), (48, 80), (63, 79)])
def test_tof_farneback_follows_tecogans_protocol(size: tuple[int, int]) -> None:
    reference = real_clip()[:, :, : size[0], : size[1]]
    restored = noisy(reference, 0.05)
    sides = []
    for side in size:
        kept = max(n for n in range(0, side, 32) if side - n >= 16)
        sides.append(slice((side - kept) // 2, (side - kept) // 2 + kept))
    settings = (0.5, 3, 15, 3, 5, 1.2, 0)
    flows = [opencv(cv2.calcOpticalFlowFarneback, clip[2:7], *settings) for clip in (restored, reference)]
    expected = np.mean(
        [np.sqrt(((x - y)[sides[0], sides[1]] ** 2).sum(axis=-1)).mean() for x, y in zip(*flows, strict=True)]
    )
    assert value(built("tof_farneback"), restored, reference) == pytest.approx(expected, rel=1e-5)


def test_tof_farneback_ignores_the_first_and_last_two_frames() -> None:
    damaged = real_clip().clone()
    damaged[[0, 1, -2, -1]] = torch.rand(4, *damaged.shape[1:])
    assert value(built("tof_farneback"), damaged, real_clip()) == 0


def test_the_warping_error_follows_its_formula() -> None:
    """Lai et al. 2018, computed pixel by pixel."""
    clip, reference = noisy(real_clip()[:3], 0.02), real_clip()[:3]
    there = opencv(cv2.DISOpticalFlow.create(2).calc, reference)
    back = opencv(cv2.DISOpticalFlow.create(2).calc, reference.flip(0))[::-1]
    frames = levels(clip) / 255
    pairs = [
        reference_warping_error(first, second, w, w_back)
        for first, second, w, w_back in zip(frames[:-1], frames[1:], there, back, strict=True)
    ]
    assert value(built("warping_error"), clip, reference) == pytest.approx(1000 * np.mean(pairs), rel=1e-4)


def reference_warping_error(
    first: np.ndarray, second: np.ndarray, there: np.ndarray, back: np.ndarray
) -> float:
    errors = []
    height, width = first.shape[:2]
    for y in range(height):
        for x in range(width):
            u, v = there[y, x]
            if not (0 <= x + u <= width - 1 and 0 <= y + v <= height - 1):
                continue
            w_hat = bilinear(back, x + u, y + v)
            gap, length = ((there[y, x] + w_hat) ** 2).sum(), (there[y, x] ** 2).sum() + (w_hat**2).sum()
            if gap <= 0.01 * length + 0.5:
                errors.append(np.mean((bilinear(second, x + u, y + v) - first[y, x]) ** 2))
    return float(np.mean(errors))


def bilinear(image: np.ndarray, x: float, y: float) -> np.ndarray:
    left, top = min(int(x), image.shape[1] - 2), min(int(y), image.shape[0] - 2)
    a, b = x - left, y - top
    upper = (1 - a) * image[top, left] + a * image[top, left + 1]
    lower = (1 - a) * image[top + 1, left] + a * image[top + 1, left + 1]
    return (1 - b) * upper + b * lower


@pytest.mark.parametrize("kind", ["tof", "tof_farneback", "tlp"])
def test_a_clip_against_itself_scores_zero(kind: str) -> None:
    assert value(built(kind), real_clip(), real_clip()) == 0


@pytest.mark.parametrize("kind", METRICS)
def test_a_flat_clip_scores_zero(kind: str) -> None:
    flat = torch.full((6, 3, 48, 48), 0.4)
    assert value(built(kind), flat, flat) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("kind", ["tof", "tof_farneback", "tlp"])
def test_scores_are_symmetric_in_restored_and_reference(kind: str) -> None:
    other = noisy(real_clip(), 0.05)
    assert value(built(kind), other, real_clip()) == pytest.approx(
        value(built(kind), real_clip(), other), rel=1e-6
    )


@pytest.mark.parametrize("kind", METRICS)
def test_more_flicker_scores_worse(kind: str) -> None:
    scores = [value(built(kind), noisy(real_clip(), sigma), real_clip()) for sigma in (0.0, 0.02, 0.06, 0.2)]
    assert rise(scores)
    assert scores[-1] > 2 * scores[1]


def shaken(clip: Tensor) -> Tensor:
    """Move every other frame a pixel to the right."""
    return torch.cat([frame.roll(i % 2, dims=-1) for i, frame in enumerate(clip.split(1))])


FAULTS: dict[str, Callable[[Tensor], Tensor]] = {
    "reversed": lambda clip: clip.flip(0),
    "a frame doubled": lambda clip: clip[[0, 1, 2, 3, 3, 5, 6, 7, 8]],
    "a frame dropped": lambda clip: clip[[0, 1, 2, 3, 5, 6, 7, 8, 8]],
    "shaken": shaken,
}


@pytest.mark.parametrize(
    ("kind", "fault"),
    [(kind, fault) for kind in METRICS for fault in FAULTS if (kind, fault) != ("tlp", "reversed")],
)
def test_a_steady_restoration_scores_better_than_a_faulty_one(kind: str, fault: str) -> None:
    steady = blurred(real_clip(), 0.4)
    good, bad = (value(built(kind), clip, real_clip()) for clip in (steady, FAULTS[fault](steady)))
    assert bad > 1.5 * good


def test_tlp_is_invariant_to_time_reversal_and_tof_is_not() -> None:
    slide = to_unit(sliding(1, 0, frames=2).read(0, 2))
    assert value(built("tlp"), slide.flip(0), slide) == pytest.approx(0, abs=1e-4)
    assert value(built("tof"), slide.flip(0), slide) == pytest.approx(2, abs=0.1)


def test_shaking_by_one_pixel_scores_one_pixel_of_tof() -> None:
    slide = to_unit(sliding(2, 1, frames=5).read(0, 5))
    assert value(built("tof"), shaken(slide), slide) == pytest.approx(1, abs=0.15)


def test_blur_lowers_the_warping_error() -> None:
    clip = noisy(real_clip(), 0.02)
    scores = [value(built("warping_error"), blurred(clip, sigma), real_clip()) for sigma in (0.1, 1, 3)]
    assert rise(scores[::-1])


def test_a_translation_by_whole_pixels_has_no_warping_error() -> None:
    clip = sliding(3, -2)
    video = to_unit(clip.read(0, 4))
    error = value(WarpingError(KnownFlow([clip])), video, video)
    assert error < 1e-2  # at most about half a level, squared, in units of 1e-3
    assert value(WarpingError(KnownFlow([clip])), shaken(video), video) > 100 * error


def test_without_a_reference_a_clip_is_warped_along_its_own_flow() -> None:
    metric, clip = built("warping_error"), noisy(real_clip(), 0.02)
    assert value(metric, clip, None) == value(metric, clip, clip)
    assert abs(value(metric, clip, None) - value(metric, clip, real_clip())) > 0


def test_pairs_without_visible_pixels_are_left_out_of_the_warping_error() -> None:
    """At the cut, this flow is the same both ways, so that no pixel passes the consistency check."""
    before, after = (sliding(1, 0, seed=seed) for seed in (0, 1))
    known = KnownFlow([before, after])

    def flow(first: Tensor, second: Tensor) -> Tensor:
        try:
            return known(first, second)
        except AssertionError:
            return torch.full((1, 2, 64, 80), 5.0)

    halves = [to_unit(clip.read(0, 4)) for clip in (before, after)]
    separate = [value(WarpingError(flow), half, half) for half in halves]
    joined = torch.cat(halves)
    assert value(WarpingError(flow), joined, joined) == pytest.approx(np.mean(separate), rel=1e-6)
    cut = joined[3:5]
    assert np.isnan(value(WarpingError(flow), cut, cut))


@pytest.mark.parametrize("kind", METRICS)
def test_pairs_are_averaged_over_clips_and_never_span_two_clips(kind: str) -> None:
    metric, restored = built(kind), noisy(real_clip(), 0.05)
    one, other = (value(metric, clip[2:], real_clip()[2:]) for clip in (restored, blurred(restored, 1)))
    metric.reset()
    metric.update(restored[2:], real_clip()[2:])
    metric.update(blurred(restored, 1)[2:], real_clip()[2:])
    assert float(metric.compute()) == pytest.approx((one + other) / 2, rel=1e-6)


@pytest.mark.parametrize("beyond", [real_clip() + 0.4 / 255, real_clip().where(real_clip() < 1, 1.2)])
def test_frames_are_rounded_to_eight_bits(beyond: Tensor) -> None:
    metric = built("warping_error")
    assert value(metric, beyond, real_clip()) == value(metric, real_clip(), real_clip())


@pytest.mark.parametrize(
    ("kind", "frames"), [("tof", 2), ("tof_farneback", 6), ("tlp", 2), ("warping_error", 2)]
)
def test_clips_that_are_too_short_are_rejected(kind: str, frames: int) -> None:
    clip = real_clip()[: frames - 1]
    name = type(built(kind)).__name__
    with pytest.raises(
        UserError, match=rf"{name} compares .* needs {frames}, got {frames - 1} frames of 80x64"
    ):
        built(kind).update(clip, clip)
    assert value(built(kind), real_clip()[:frames], real_clip()[:frames]) >= 0


@pytest.mark.parametrize("kind", METRICS)
def test_clips_that_differ_in_length_or_size_are_rejected(kind: str) -> None:
    for other in (real_clip()[1:], real_clip()[..., 1:]):
        with pytest.raises(UserError, match="cannot score 9 frames of 80x64 in 3 channels against"):
            built(kind).update(real_clip(), other)


@pytest.mark.parametrize(("kind", "smallest"), [("tof_farneback", 48), ("tlp", 31)])
def test_frames_too_small_to_score_are_rejected(kind: str, smallest: int) -> None:
    clip = torch.rand(6, 3, smallest, smallest)
    assert value(built(kind), clip, 1 - clip) > 0
    with pytest.raises(
        UserError, match=f"needs {smallest}x{smallest} pixels, got 6 frames of {smallest - 1}x"
    ):
        built(kind).update(clip[..., 1:], clip[..., 1:])


class LargestTensor(TorchDispatchMode):
    """Records the size of the largest tensor that an operation returns."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        tensors = (leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor))
        self.numbers = max(self.numbers, *(tensor.numel() for tensor in tensors), 0)
        return out


@pytest.mark.parametrize("kind", METRICS)
def test_memory_does_not_grow_with_the_clip(kind: str) -> None:
    largest = []
    for frames in (6, 12):
        clip = real_clip()[[0, 1, 2] * 4][:frames]
        with LargestTensor() as seen:
            value(built(kind), clip, clip)
        largest.append(seen.numbers)
        assert sum(score.numel() for score in built(kind).scores) <= 2 * frames  # type: ignore[union-attr]
    assert largest[0] == largest[1] > 0


@pytest.mark.parametrize(("choice", "expected"), [("dis", DIS(2)), ("farneback", FARNEBACK)])
def test_metrics_flow_selects_the_estimator_except_for_tof_farneback(choice: str, expected: Flow) -> None:
    built("tlp")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("evaluate", ["metrics=temporal", f"metrics.flow={choice}"])
    metrics = instantiate(cfg.metrics)
    assert set(metrics) == set(METRICS)
    assert metrics["tof"].flow == metrics["warping_error"].flow == expected
    assert metrics["tof_farneback"].flow == FARNEBACK


def test_raft_is_the_default_and_loads_the_given_weights(tmp_path: Path) -> None:
    built("tlp")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        assert compose("evaluate", ["metrics=temporal"]).flow.weights.startswith("raft_large_C_T_SKHT_V2")
        cfg = compose("evaluate", ["metrics=temporal", f"flow.weights={tmp_path}/raft.pth"])
    torch.save(raft_large(weights=None).state_dict(), tmp_path / "raft.pth")
    metric = instantiate(cfg.metrics)["tof"]
    assert value(metric, real_clip()[:2], real_clip()[:2]) == 0
    assert value(metric, real_clip()[1:3], real_clip()[:2]) > 0

"""Metrics of tile consistency: shared behaviour, and the three seam metrics against their formulas."""

import math
from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor
from torch.nn.functional import avg_pool2d
from torchvision.transforms.functional import gaussian_blur

from dcvsr.data.synthetic import SyntheticClip, Translation, Wallpaper
from dcvsr.imaging import upsample
from dcvsr.metrics.clipwise import Clipwise
from dcvsr.metrics.correspondence import detail
from dcvsr.metrics.seams import Drift, TileLines
from dcvsr.runtime.cli import CONF
from dcvsr.runtime.errors import UserError
from dcvsr.tiling.canvas import Canvas
from dcvsr.tiling.grid import BORDERS, Tile, TileGrid, overlapping, shifted
from dcvsr.video.io import to_unit

SMALL = ("tile.size=12", "tile.frames=4", "tile.schedule=overlap", "tile.overlap=0")
"""Overrides that give tiles of 48x48 pixels and four frames."""

SLIDE = partial(Translation, frames=16, height=96, width=144, dx=1.3, dy=-0.4)
WALLPAPER = partial(Wallpaper, frames=16, height=96, width=144, dx=1, dy=1, period=44)

PLANTED = {
    "seam_steepness": (SLIDE, "texture", (0.25, 0.5, 1)),
    "seam_drift": (SLIDE, "colour", (2, 4, 8)),
    "seam_jump": (SLIDE, "texture", (0.25, 0.5, 1)),
    "far_textures": (WALLPAPER, "texture", (0.25, 0.5, 1)),
    "reappearance": (WALLPAPER, "texture", (0.25, 0.5, 1)),
}
"""For each metric: the clip, the kind of defect and its strengths."""


@cache
def metrics(*overrides: str) -> dict[str, Clipwise]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("evaluate", ["metrics=seams", "ckpt=null", *(overrides or SMALL)])
    return dict(instantiate(cfg.metrics))


def value(name: str, restored: Tensor, reference: Tensor) -> float:
    metric = metrics()[name]
    metric.reset()
    metric.update(restored, reference)
    return float(metric.compute())


@cache
def read(clip: SyntheticClip) -> Tensor:
    return to_unit(clip.read(0, len(clip)))


def smooth(clip: Tensor, sigma: float) -> Tensor:
    return gaussian_blur(clip, [2 * math.ceil(3 * sigma) + 1] * 2, [sigma] * 2)


@cache
def another_texture(scene: partial[SyntheticClip]) -> tuple[Tensor, Tensor]:
    """The coarse part of a clip, and the fine texture of another with equal motion, 1.2 times as strong."""
    truth, other = read(scene(seed=1)), read(scene(seed=2))
    texture, replacement = truth - smooth(truth, 1.5), other - smooth(other, 1.5)
    strength, other_strength = (
        torch.stack([detail(frame) for frame in x]).norm() for x in (truth, replacement)
    )
    return truth - texture, replacement * 1.2 * strength / other_strength


def by_tile(clip: Tensor, fill: Callable[[], Tensor]) -> Tensor:
    """A clip in the shape of ``clip``; each tile is cut from another result of ``fill``."""
    out = torch.empty_like(clip)
    for f, y, x in product(range(0, 16, 4), range(0, 96, 48), range(0, 144, 48)):
        out[f : f + 4, :, y : y + 48, x : x + 48] = fill()[f : f + 4, :, y : y + 48, x : x + 48]
    return out


@cache
def planted(name: str) -> list[Tensor]:
    """Clips whose tiles disagree increasingly."""
    scene, kind, strengths = PLANTED[name]
    truth, generator = read(scene(seed=1)), torch.Generator().manual_seed(0)

    def shade() -> Tensor:
        return torch.randn(1, 3, 1, 1, generator=generator).expand_as(truth)

    def elsewhere() -> Tensor:
        by = torch.randint(-40, 40, (2,), generator=generator).tolist()
        return texture.roll(by, (2, 3))

    if kind == "colour":
        shades = by_tile(truth, shade)
        return [truth + levels / 255 * shades for levels in strengths]
    coarse = smooth(truth, 1.5)
    texture = truth - coarse
    own = by_tile(truth, elsewhere)
    return [coarse + math.sqrt(1 - part**2) * texture + part * own for part in strengths]


every_metric = pytest.mark.parametrize("name", PLANTED)


@every_metric
def test_the_reference_scores_zero(name: str) -> None:
    truth = read(PLANTED[name][0](seed=1))
    assert value(name, truth, truth) == pytest.approx(0, abs=1e-6)


@every_metric
def test_another_consistent_texture_scores_near_zero(name: str) -> None:
    scene = PLANTED[name][0]
    another = sum(another_texture(scene))
    assert value(name, another, read(scene(seed=1))) < 0.1 * value(
        name, planted(name)[-1], read(scene(seed=1))
    )


@every_metric
def test_scores_worsen_as_tiles_disagree_more(name: str) -> None:
    truth = read(PLANTED[name][0](seed=1))
    scores = [value(name, clip, truth) for clip in (truth, *planted(name))]
    assert all(worse > 1.5 * better for better, worse in pairwise(scores))


@every_metric
@pytest.mark.parametrize("sigma", [1, 4])
def test_smearing_costs_more_blur_than_it_gains_in_seam_score(name: str, sigma: float) -> None:
    truth = read(PLANTED[name][0](seed=1))

    def both(clip: Tensor) -> float:
        return value(name, clip, truth) + value("blur", clip, truth)

    for clip in (truth, *planted(name)):
        assert both(smooth(clip, sigma)) > both(clip)
        assert value("blur", smooth(clip, sigma), truth) > value("blur", clip, truth) + 0.3


@pytest.mark.parametrize("name", ["seam_steepness", "seam_jump", "far_textures", "reappearance"])
def test_seam_scores_ignore_blur_in_clips_without_seams(name: str) -> None:
    truth = read(PLANTED[name][0](seed=1))
    blurred = smooth(truth, 1)
    assert value("blur", blurred, truth) > 0.4
    assert value(name, blurred, truth) < 0.1 * value(name, planted(name)[-1], truth)


@every_metric
def test_a_metric_scores_the_mean_of_the_clips_since_reset(name: str) -> None:
    truth = read(PLANTED[name][0](seed=1))
    expected = np.mean([value(name, clip, truth) for clip in planted(name)[:2]])
    metric = metrics()[name]
    metric.reset()
    for clip in planted(name)[:2]:
        metric.update(clip, truth)
    assert float(metric.compute()) == pytest.approx(expected)


@every_metric
def test_a_clip_within_one_tile_scores_nan(name: str) -> None:
    metric = metrics()[name]
    corner = read(SLIDE(seed=1))[:4, :, :48, :48]
    metric.reset()
    metric.update(corner, corner)
    assert math.isnan(metric.compute())


@every_metric
def test_clips_that_score_nan_are_left_out_of_the_mean(name: str) -> None:
    truth, clip = read(PLANTED[name][0](seed=1)), planted(name)[1]
    expected = value(name, clip, truth)
    metrics()[name].update(clip[:4, :, :48, :48], truth[:4, :, :48, :48])
    assert float(metrics()[name].compute()) == expected


@every_metric
def test_flat_frames_score_zero_or_nan(name: str) -> None:
    flat = torch.full((16, 3, 96, 144), 0.4)
    score = value(name, flat, flat)
    assert score == 0 if name in ("seam_steepness", "seam_drift") else math.isnan(score)


@every_metric
@pytest.mark.parametrize("size", [(1, 1, 1), (3, 1, 1), (3, 4, 4), (9, 8, 8), (9, 16, 40), (12, 1, 64)])
def test_tiny_frames_are_rejected_or_scored(name: str, size: tuple[int, int, int]) -> None:
    frames, height, width = size
    clip = torch.rand(frames, 3, height, width, generator=torch.Generator().manual_seed(0))
    if min(height, width) < metrics()[name].smallest:
        with pytest.raises(UserError, match=f"pixels, got {frames} frames of {width}x{height}"):
            value(name, clip, clip)
    else:
        assert np.nan_to_num(value(name, clip, clip)) == 0


@every_metric
def test_clips_that_differ_in_length_are_rejected_and_described(name: str) -> None:
    clip = read(SLIDE(seed=1))
    with pytest.raises(UserError, match="15 frames of 144x96 in 3 channels against 16 frames of 144x96"):
        metrics()[name].update(clip[1:], clip)


def test_tile_lines_follow_the_runs_grid_at_the_last_step() -> None:
    lines = metrics("scale=svd")["seam_drift"].lines
    assert lines == TileLines(TileGrid(64, 14, 0.5, "overlap"), 25, 8)
    times, rows, columns = lines(28, 720, 1280)
    assert (times, rows, columns) == ([10.5, 17.5], [45], [48, 80, 112])
    nano = metrics("scale=nano", "tile.schedule=shifted", "sampler.steps=3")["seam_drift"].lines
    assert nano == TileLines(TileGrid(32, 8, 0.125, "shifted"), 3, 4)
    cuts = [
        [tile.stop for tile in shifted(n, size, 0, 2)[:-1]] for n, size in ((48, 8), (144, 32), (176, 32))
    ]
    assert nano(48, 576, 704) == cuts


def test_tile_lines_in_the_padding_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BORDERS, "pad", lambda *_: 30)
    lines = TileLines(TileGrid(12, 4, 0, "overlap", "pad"), 1, 4)
    assert lines(4, 45, 48) == [[], [], []]
    assert lines(5, 50, 49) == [[4], [12], [12]]


@pytest.mark.parametrize("size", range(3, 12))
def test_tile_lines_lie_inside_a_clip_that_ends_within_a_latent(size: int) -> None:
    lines = TileLines(TileGrid(size, 4, 0.5, "overlap"), 1, 4)
    _, rows, columns = lines(1, 50, 49)
    assert max(rows) < 50 / 4
    assert max(columns) < 49 / 4
    flat = torch.full((1, 3, 50, 49), 0.5)
    drift = Drift(lines)
    drift.update(flat, flat)
    assert drift.compute() == 0


@pytest.mark.parametrize(("length", "size", "overlap"), [(14, 8, 0.25), (21, 14, 0.5), (26, 10, 0.25)])
def test_blending_weights_are_equal_at_the_tile_line(length: int, size: int, overlap: float) -> None:
    """The first tile is all zeros and the second all ones, so the blend crosses 0.5 at the line."""
    slices = overlapping(length, size, overlap, 0)[:2]
    canvas = Canvas(torch.zeros(1, 1, 1, slices[1].stop), 0.1, 0.1)
    for level, columns in enumerate(slices):
        tile = Tile(slice(0, 1), slice(0, 1), columns)
        canvas.add(tile, torch.full((1, 1, 1, size), float(level)))
    blended = canvas.merge().flatten()
    (line,) = TileLines(TileGrid(size, 1, overlap, "overlap"), 1, 1)(1, 1, slices[1].stop)[2]
    middle = torch.arange(len(blended)) + 0.5
    assert all(blended[middle < line] < 0.5)
    assert all(blended[middle > line] > 0.5)
    assert blended[middle == line].tolist() == pytest.approx([0.5] * (line % 1 == 0.5))


def reference_steepness(restored: np.ndarray, reference: np.ndarray) -> float:
    """Excess gradient error with numpy's fit, for a line at row 48 and lines at columns 48 and 96."""

    def gradients(clip: np.ndarray, axis: int) -> list[float]:
        at = range(4, clip.shape[axis], 4)
        return [np.abs(clip.take(i, axis) - clip.take(i - 1, axis)).mean() + 0.1 / 255 for i in at]

    seams, others = [], []
    for axis, lines in ((2, [11]), (3, [11, 23])):
        y, x = (np.array(gradients(clip, axis)) for clip in (restored, reference))
        slope, offset = np.polyfit(np.delete(x, lines), np.delete(y, lines), 1)
        errors = np.abs(np.log(y / (slope * x + offset)))
        seams += list(errors[lines])
        others += list(np.delete(errors, lines))
    return np.mean(seams) - np.mean(others)


@pytest.mark.parametrize("contrast", [0.5, 1])
def test_steepness_follows_its_formula(contrast: float) -> None:
    reference, texture = read(SLIDE(seed=1)), another_texture(SLIDE)[1]
    restored = 0.5 + contrast * (reference - 0.5) + 0.2 * texture
    restored[..., 48:96] += 0.05
    restored[..., 48:, :] -= 0.05
    restored = (restored.clamp(0, 1) * 255).round() / 255
    expected = reference_steepness(restored.double().numpy(), reference.double().numpy())
    assert value("seam_steepness", restored, reference) == pytest.approx(expected, rel=1e-4)


def reference_jump(restored: np.ndarray, reference: np.ndarray) -> float:
    """Excess change error of static clips, where each patch matches its own position."""
    change, reference_change = (
        np.abs(np.diff(clip, axis=0)).mean((1, 2, 3)) + 0.1 / 255 for clip in (restored, reference)
    )
    borders = [3, 7, 11]
    inside = np.delete(change, borders).mean() / np.delete(reference_change, borders).mean()
    errors = np.abs(np.log(change / reference_change / inside))
    return errors[borders].mean() - np.delete(errors, borders).mean()


def still_with_grain(levels: float) -> Tensor:
    """Sixteen frames that differ by grain alone, so that every patch finds its match."""
    still = read(Translation(1, 1, 96, 144, 0, 0)) * 0.8 + 0.1
    grain = torch.randn(16, 3, 96, 144, generator=torch.Generator().manual_seed(0))
    return ((still + levels / 255 * grain).clamp(0, 1) * 255).round() / 255


def columns_with_faults(clip: Tensor, *, steep: bool, flat: bool) -> Tensor:
    """Add a step at the clip's first vertical tile line; remove all gradient at the second."""
    out = clip.clone()
    if steep:
        out[..., :48] -= 0.08
    if flat:
        out[..., 96] = out[..., 95]
    return out


def frames_with_faults(clip: Tensor, *, abrupt: bool, frozen: bool) -> Tensor:
    """Change the clip's texture at the start of the second window; freeze it at the start of the third."""
    out = clip.clone()
    if abrupt:
        out[4:] = out[4:].roll(1, 3)
    if frozen:
        out[8] = out[7]
    return out


def test_a_steep_and_a_flat_tile_line_do_not_cancel() -> None:
    truth = read(SLIDE(seed=1)) * 0.8 + 0.1
    none, steep, flat, both = (
        value("seam_steepness", columns_with_faults(truth, steep=steep, flat=flat), truth)
        for steep, flat in ((False, False), (True, False), (False, True), (True, True))
    )
    assert none == pytest.approx(0, abs=1e-6)
    assert steep > 0.1
    assert flat > 0.1
    assert both == pytest.approx(steep + flat, rel=0.1)


def test_an_abrupt_and_a_frozen_window_border_do_not_cancel() -> None:
    truth = still_with_grain(2)
    none, abrupt, frozen, both = (
        value("seam_jump", frames_with_faults(truth, abrupt=abrupt, frozen=frozen), truth)
        for abrupt, frozen in ((False, False), (True, False), (False, True), (True, True))
    )
    assert none == pytest.approx(0, abs=1e-6)
    assert abrupt > 0.1
    assert frozen > 0.1
    assert both == pytest.approx(abrupt + frozen, rel=0.1)


def test_opposite_drifts_do_not_cancel() -> None:
    flat = torch.full((16, 3, 96, 144), 0.5)
    middle = flat.clone()
    middle[..., 48:96] += 4 / 255
    assert value("seam_drift", middle, flat) == pytest.approx(np.mean([4, 4, 4, 4, 0, 0, 0]), rel=1e-4)


def test_untiled_results_scatter_around_zero_steepness() -> None:
    scores = []
    for seed in range(1, 9):
        truth = read(SLIDE(seed=seed))
        scores.append(value("seam_steepness", upsample(avg_pool2d(truth, 4)), truth))
    assert abs(np.mean(scores)) < 2 * np.std(scores, ddof=1) / math.sqrt(8)
    assert np.std(scores, ddof=1) < 0.05


def test_jump_follows_its_formula() -> None:
    truth = still_with_grain(2)
    restored = frames_with_faults(truth, abrupt=True, frozen=True)
    expected = reference_jump(restored.double().numpy(), truth.double().numpy())
    assert value("seam_jump", restored, truth) == pytest.approx(expected, rel=0.01)


def test_drift_measures_colour_offsets_between_tiles() -> None:
    levels = torch.tensor([[0.0, 3, 5], [10, 10, 20]])
    reference = torch.full((16, 3, 96, 144), 100 / 255)
    offsets = levels.repeat_interleave(48, 0).repeat_interleave(48, 1) / 255
    differences = [3, 2, 0, 10, 10, 7, 15]
    assert value("seam_drift", reference + offsets, reference) == pytest.approx(
        np.mean(differences), rel=1e-4
    )


def test_a_colour_offset_shared_by_all_tiles_is_not_drift() -> None:
    truth = read(SLIDE(seed=1)) * 0.5
    assert value("seam_drift", truth + 40 / 255, truth) == pytest.approx(0, abs=0.01)


def test_jump_of_static_clips_measures_offsets_between_windows() -> None:
    still = (read(Translation(1, 1, 96, 144, 0, 0)) * 0.8 * 255).round().expand(16, -1, -1, -1) / 255
    offsets = torch.tensor([0.0, 4, 0, 4]).repeat_interleave(4)[:, None, None, None] / 255
    assert value("seam_jump", still + offsets, still) == pytest.approx(math.log((4 + 0.1) / 0.1), rel=1e-3)


def test_flicker_between_all_frames_is_not_jump() -> None:
    truth = read(SLIDE(seed=1)) * 0.8
    flicker = torch.tensor([0.0, 4]).repeat(8)[:, None, None, None] / 255
    jumps = torch.tensor([0.0, 4, 0, 4]).repeat_interleave(4)[:, None, None, None] / 255
    assert value("seam_jump", truth + flicker, truth) < 0.2 * value("seam_jump", truth + jumps, truth)


def test_jump_needs_a_second_window_and_steepness_a_second_tile() -> None:
    truth = read(SLIDE(seed=1))
    short, narrow = truth[:4], truth[:, :, :48, :48]
    assert value("seam_steepness", short, short) == 0
    assert math.isnan(value("seam_jump", short, short))
    assert value("seam_jump", narrow, narrow) == 0
    assert math.isnan(value("seam_steepness", narrow, narrow))

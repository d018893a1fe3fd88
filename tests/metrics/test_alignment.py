"""Estimated shifts between a result and its reference."""

import av.filter
import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from dcvsr.data.synthetic import Translation
from dcvsr.imaging import to_unit, upsample
from dcvsr.metrics.alignment import TOLERANCE, shift


@pytest.fixture(scope="module")
def wide() -> Tensor:
    return to_unit(Translation(seed=0, frames=3, height=112, width=144, dx=0.7, dy=-0.3).read(0, 3))


@pytest.mark.parametrize("place", [(0, 0), (1, 0), (0, -1), (-3, 2), (5, 6)])
def test_shifts_by_whole_pixels_are_estimated(wide: Tensor, place: tuple[int, int]) -> None:
    x, y = place
    moved, still = wide[..., 8 - y : 104 - y, 8 - x : 136 - x], wide[..., 8:104, 8:136]
    assert shift(moved, still) == pytest.approx(place, abs=0.15)
    assert shift(still, moved) == pytest.approx((-x, -y), abs=0.15)


def test_shifts_by_half_pixels_are_estimated(wide: Tensor) -> None:
    still = avg_pool2d(wide, 2)
    moved = avg_pool2d(wide[..., 1:-1], 2)
    assert shift(moved, still[..., :-1])[0] == pytest.approx(-0.5, abs=0.15)


def test_upsampling_aligned_at_pixel_centres_has_no_shift_and_at_corners_has(wide: Tensor) -> None:
    lr = avg_pool2d(wide, 4)
    assert all(abs(by) < TOLERANCE for by in shift(upsample(lr), wide))
    corners = torch.roll(upsample(lr), (-1, -2), dims=(-2, -1))
    assert shift(corners, wide) == pytest.approx((-2, -1), abs=0.2)


def test_noise_and_gain_do_not_change_the_shift(wide: Tensor) -> None:
    noisy = 0.8 * wide + 0.05 * torch.randn(wide.shape, generator=torch.Generator().manual_seed(0))
    assert all(abs(by) < 0.1 for by in shift(noisy, wide))


def test_frames_without_structure_are_skipped(wide: Tensor) -> None:
    flat = torch.full_like(wide, 0.3)
    assert shift(flat, wide) == (0, 0)
    assert shift(torch.cat([flat, wide]), torch.cat([wide, wide])) == pytest.approx((0, 0), abs=0.01)


Y, X = torch.meshgrid(torch.arange(128), torch.arange(128), indexing="ij")


def pattern(kind: str, side: int) -> Tensor:
    """Two frames of stripes or a checkerboard of ``side`` pixels, with values in [0.2, 0.8]."""
    along = {"columns": X // side, "rows": Y // side, "checkerboard": X // side + Y // side}
    return (0.2 + 0.6 * (along[kind] % 2)).expand(2, 3, 128, 128)


def card(size: int) -> Tensor:
    """Eight frames of FFmpeg's moving test card."""
    graph = av.filter.Graph()
    source, sink = graph.add("testsrc2", f"s={size}x{size}:r=25:d=0.32"), graph.add("buffersink")
    source.link_to(sink)
    graph.configure()
    frames = [torch.from_numpy(graph.vpull().to_ndarray(format="rgb24")) for _ in range(8)]
    return to_unit(torch.stack(frames).permute(0, 3, 1, 2))


def largest(restored: Tensor, reference: Tensor) -> float:
    return max(map(abs, shift(restored, reference)))


@pytest.mark.parametrize("kind", ["columns", "rows", "checkerboard"])
@pytest.mark.parametrize("side", [4, 8, 15, 16, 31])
def test_unshifted_repeating_patterns_have_no_shift(kind: str, side: int) -> None:
    clip = pattern(kind, side)
    noisy = clip + 0.02 * torch.randn(clip.shape, generator=torch.Generator().manual_seed(0))
    for restored in (clip, noisy, upsample(avg_pool2d(clip, 4))):
        assert largest(restored, clip) < TOLERANCE


@pytest.mark.parametrize(
    ("kind", "expected"), [("columns", (2, 0)), ("rows", (0, 3)), ("checkerboard", (2, 3))]
)
def test_a_pattern_shows_only_the_shift_across_its_edges(kind: str, expected: tuple[int, int]) -> None:
    clip = pattern(kind, 16)
    assert shift(clip.roll((3, 2), (2, 3)), clip) == pytest.approx(expected, abs=0.1)


def test_diagonal_stripes_show_only_the_shift_across_them() -> None:
    stripes = (0.5 + 0.3 * torch.sin(2 * torch.pi * (X + Y) / 32)).expand(2, 3, 128, 128)
    assert shift(stripes.roll(2, 3), stripes) == pytest.approx((1, 1), abs=0.1)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_a_test_card_has_no_shift_and_a_rolled_one_has(size: int) -> None:
    clip = card(size)
    assert largest(clip, clip) < 0.01
    assert largest(upsample(avg_pool2d(clip, 4)), clip) < TOLERANCE
    assert shift(clip.roll(2, 3), clip) == pytest.approx((2, 0), abs=0.3)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (1, 64), (64, 1), (16, 16), (32, 300), (96, 96)])
def test_noise_of_any_size_has_no_shift(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        one, other = torch.rand(2, 2, 3, *size, generator=generator)
        assert largest(one, one) < 0.01
        assert largest(one, other) < TOLERANCE


def test_unrelated_images_have_no_shift() -> None:
    one, other = (to_unit(Translation(seed, 2, 64, 96, 0, 0).read(0, 2)) for seed in (1, 2))
    assert largest(one, other) < TOLERANCE


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_non_finite_frames_are_skipped(wide: Tensor, bad: float) -> None:
    assert shift(torch.full_like(wide, bad), wide) == (0, 0)
    assert shift(torch.cat([wide[:1] * bad, wide[1:]]), wide) == pytest.approx((0, 0), abs=0.01)


@pytest.mark.parametrize("pixels", [0.5, 1.5, 3.5])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_shifts_by_half_pixels_are_estimated_after_upsampling(pixels: float, seed: int) -> None:
    picture = to_unit(Translation(seed, 1, 192, 208, 0, 0).read(0, 1))
    columns = int(2 * pixels)
    still, moved = (avg_pool2d(picture[..., 16 - n : 192 - n], 2)[..., :88] for n in (0, columns))
    assert shift(moved, still) == pytest.approx((pixels, 0), abs=0.15)
    assert shift(upsample(avg_pool2d(moved, 4)), still) == pytest.approx((pixels, 0), abs=0.15)

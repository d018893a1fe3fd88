"""Tests of the selection of frames and boxes."""

from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dcvsr.figures.boxes import (
    Box,
    CentreBoxes,
    GivenBoxes,
    GivenFrames,
    Moments,
    MostSimilar,
    Richest,
    square,
)
from dcvsr.runtime.errors import UserError


def noise(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


def overlap(one: Box, other: Box) -> bool:
    return (
        abs(one.left - other.left) < min(one.width, other.width)
        and abs(one.top - other.top) < min(one.height, other.height)
    )  # fmt: skip


@given(st.integers(1, 40), st.lists(st.floats(0, 1), min_size=1, max_size=4), st.integers(1, 5))
def test_moments_returns_frames_of_the_clip_in_order(frames: int, shares: list[float], run: int) -> None:
    found = Moments(shares, run)(frames)
    assert found == sorted(set(found))
    assert set(found) <= set(range(frames))


def test_moments_include_both_ends_and_whole_runs() -> None:
    assert Moments([0, 0.5, 1], 1)(11) == [0, 5, 10]
    assert Moments([0, 1], 2)(11) == [0, 1, 9, 10]
    assert Moments([0, 1], 2)(1) == [0]


def test_given_frames_count_from_either_end_and_raise_on_missing_frames() -> None:
    assert GivenFrames([3, 0, -1])(8) == [3, 0, 7]
    with pytest.raises(UserError, match="frame 8 is not in a clip of 8 frames; give 0 to 7"):
        GivenFrames([8])(8)
    with pytest.raises(UserError, match="frame -9 is not in a clip of 8 frames"):
        GivenFrames([-9])(8)


@pytest.mark.parametrize("box", [Box(60, 0, 5, 4), Box(0, 45, 4, 4), Box(-1, 0, 4, 4), Box(0, 0, 0, 4)])
def test_a_box_outside_the_frame_is_an_error(box: Box) -> None:
    with pytest.raises(UserError, match=r"\(left,top,width,height\) is not within 64x48"):
        GivenBoxes([box])(noise(48, 64))


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.05, 1))
def test_the_centre_box_has_equal_margins(height: int, width: int, share: float) -> None:
    [box] = CentreBoxes(share)(torch.zeros(3, 4 * height, 4 * width))
    assert box.width == box.height == square(torch.zeros(3, 4 * height, 4 * width), share)
    right, bottom = 4 * width - box.left - box.width, 4 * height - box.top - box.height
    assert 0 <= right - box.left <= 4
    assert 0 <= bottom - box.top <= 4


def test_the_richest_square_contains_the_detail() -> None:
    frame = torch.full((3, 96, 128), 0.5)
    frame[:, 40:72, 80:112] = noise(32, 32)
    [box] = Richest(1, 0.34)(frame)
    assert box == Box(80, 40, 32, 32)


@given(st.integers(1, 5), st.floats(0.05, 1), st.integers(4, 30), st.integers(4, 30), st.booleans())
def test_the_richest_squares_lie_within_the_frame_and_do_not_overlap(
    count: int, share: float, rows: int, columns: int, flat: bool
) -> None:
    frame = torch.full((3, 4 * rows, 4 * columns), 0.5) if flat else noise(4 * rows, 4 * columns)
    boxes = Richest(count, share)(frame)
    assert 1 <= len(boxes) <= count
    assert GivenBoxes(boxes)(frame) == boxes
    assert not any(overlap(*two) for two in combinations(boxes, 2))


def test_the_most_similar_squares_contain_a_repeated_texture() -> None:
    frame = 0.4 + 0.2 * noise(120, 160)
    frame[:, 8:56, 4:52] = frame[:, 64:112, 100:148] = noise(48, 48, seed=1)
    frame[:, 64:112, 4:52], frame[:, 8:56, 100:148] = noise(48, 48, seed=2), noise(48, 48, seed=3)
    one, other = sorted(MostSimilar(32, 0.3)(frame), key=lambda box: box.left)
    assert overlap(one, Box(4, 8, 48, 48))
    assert overlap(other, Box(100, 64, 48, 48))


@pytest.mark.parametrize(("height", "width"), [(8, 8), (24, 20), (160, 200), (200, 64)])
@pytest.mark.parametrize("seed", [0, 1, None])
def test_the_most_similar_squares_lie_within_the_frame_and_do_not_overlap(
    height: int, width: int, seed: int | None
) -> None:
    frame = torch.full((3, height, width), 0.5) if seed is None else noise(height, width, seed)
    boxes = MostSimilar(32, 0.3)(frame)
    assert len(boxes) == 2
    assert GivenBoxes(boxes)(frame) == boxes
    assert not overlap(*boxes)


def test_a_box_crops_its_rectangle() -> None:
    frame = noise(48, 64)
    assert torch.equal(Box(8, 4, 16, 12).crop(frame), frame[:, 4:16, 8:24])

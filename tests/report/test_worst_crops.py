"""Worst places: against sums written out, and what a reader expects of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcvsr.report.worst_crops import block_differences, starts, worst
from tests.comparing import rise

SHAPES = st.tuples(st.integers(1, 3), st.integers(4, 11), st.integers(4, 13))


def videos(shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    one, other = rng.integers(0, 256, (2, *shape, 3), dtype=np.uint8)
    return one, other


@given(SHAPES, st.integers(1, 4), st.integers(0, 99))
def test_a_block_s_difference_is_the_mean_over_its_pixels(shape, side, seed) -> None:
    one, other = videos(shape, seed)
    found = block_differences(one, other, side)
    tops, lefts = (starts(length, side) for length in shape[1:])
    expected = [
        [
            [
                np.abs(
                    one[f, top : top + side, left : left + side].astype(float)
                    - other[f, top : top + side, left : left + side].astype(float)
                ).mean()
                for left in lefts
            ]
            for top in tops
        ]
        for f in range(shape[0])
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@given(st.integers(1, 200), st.integers(1, 64))
def test_blocks_cover_an_axis_and_none_leaves_it(length: int, side: int) -> None:
    side = min(side, length)
    covered = {pixel for start in starts(length, side) for pixel in range(start, start + side)}
    assert covered == set(range(length))


@given(SHAPES, st.integers(2, 4), st.integers(1, 9), st.integers(0, 99))
def test_the_worst_comes_first_and_no_two_overlap(shape, side, count, seed) -> None:
    one, other = videos(shape, seed)
    differences = {"a": block_differences(one, other, side), "b": block_differences(one, one, side)}
    places = worst(differences, shape[1:], side, count)
    assert 1 <= len(places) <= count
    assert places[0].difference == pytest.approx(differences["a"].max())
    assert rise([0, *(place.difference for place in places[::-1])])
    assert {place.label for place in places} == {"a"}
    for i, one_place in enumerate(places):
        for other_place in places[:i]:
            apart = abs(one_place.top - other_place.top), abs(one_place.left - other_place.left)
            assert max(apart) >= side


def test_a_cut_shows_the_square_that_differs() -> None:
    one = np.zeros((4, 32, 48, 3), np.uint8)
    other = one.copy()
    other[2, 16:24, 24:32] = 200
    [place] = worst({"row": block_differences(other, one, 8)}, (32, 48), 8, 5)
    assert (place.frame, place.top, place.left, place.difference) == (2, 16, 24, 200)
    assert place.cut(other).shape == (8, 8, 3)
    assert (place.cut(other) == 200).all()


def test_equal_videos_have_no_worst_place() -> None:
    one, _ = videos((2, 8, 8), 0)
    assert worst({"row": block_differences(one, one, 4)}, (8, 8), 4, 3) == []

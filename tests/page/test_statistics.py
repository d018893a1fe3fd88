"""Means, spreads and intervals: against numpy, and against what they promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcvsr.page.statistics import interval, is_noise, mean, spread

SCORES = st.integers(1, 4).flatmap(
    lambda seeds: st.dictionaries(
        st.text(max_size=3), st.lists(st.floats(-100, 100), min_size=seeds, max_size=seeds), min_size=1
    )
)


@given(SCORES)
def test_mean_and_spread_are_numpy_s(scores: dict[str, list[float]]) -> None:
    table = np.array(list(scores.values()))
    assert mean(scores) == pytest.approx(table.mean(), abs=1e-9)
    if table.shape[1] > 1:
        assert spread(scores) == pytest.approx(table.mean(axis=0).std(ddof=1), abs=1e-6)
    else:
        assert spread(scores) is None


def normal(seed: int, clips: int, seeds: int, shift: float = 0.0) -> dict[str, list[float]]:
    rng = np.random.default_rng(seed)
    return {str(clip): list(shift + rng.normal(size=seeds)) for clip in range(clips)}


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    hits = 0
    for number in range(100):
        low, high = interval(normal(number, 20, 2, 0.5), normal(1000 + number, 20, 2), draws=400)
        hits += low <= 0.5 <= high
    assert 85 <= hits <= 99


def test_what_is_the_same_is_noise_and_a_constant_gain_is_not() -> None:
    scores = normal(0, 5, 3)
    assert interval(scores, scores) == (0, 0)
    assert is_noise(interval(scores, scores))
    better = {clip: [value + 0.1 for value in values] for clip, values in scores.items()}
    assert interval(better, scores) == pytest.approx((0.1, 0.1))
    assert not is_noise(interval(better, scores))


def test_swapping_the_two_turns_the_interval_over() -> None:
    one, other = normal(0, 8, 3, 0.3), normal(1, 8, 3)
    low, high = interval(one, other)
    assert interval(other, one) == pytest.approx((-high, -low), abs=0.05)


def test_one_without_seeds_is_compared_with_each_seed() -> None:
    seeds = {"a": [1.0, 2.0, 3.0], "b": [2.0, 3.0, 4.0]}
    low, high = interval(seeds, {"a": [1.0], "b": [2.0]})
    assert 0 <= low < 1 < high <= 2


def test_a_clip_is_a_block() -> None:
    """Many seeds of two clips that disagree are no more evidence than two clips."""
    disagreeing = {"a": [1.0] * 50, "b": [-0.9] * 50}
    assert is_noise(interval(disagreeing, {"a": [0.0], "b": [0.0]}))


def test_other_clips_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="same clips"):
        interval({"a": [1.0]}, {"b": [1.0]})

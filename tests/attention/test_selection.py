"""Which frames, against numpy in float64; and which way."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvsr.attention.selection import (
    alternate,
    both,
    channel_std,
    deviation,
    either,
    first_frames,
    largest,
    random_frames,
    std,
    taken,
)
from tests.attention.making import noise

M, F, H, P, D = 3, 6, 2, 4, 5


def _keys(seed: int = 0):
    """Keys whose frames differ in deviation, and whose channels have large offsets."""
    scale = 1 + noise(M, F, 1, 1, 1, seed=seed + 50).abs()
    return scale * noise(M, F, H, P, D, seed=seed) + 3 * noise(1, F, H, 1, D, seed=seed + 99)


def _best(score, count):
    """Frames by falling score, ties to the earlier."""
    return sorted(range(len(score)), key=lambda f: (-score[f], f))[:count]


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), count=st.integers(1, 9))
def test_the_paper_s_frames_are_those_of_the_largest_standard_deviations(seed, count):
    k = _keys(seed).numpy().astype(np.float64)
    chosen = std(_keys(seed), count, ())
    for m in range(M):
        score = [np.sqrt(((k[m, f] - k[m, f].mean()) ** 2).sum()) for f in range(F)]
        assert chosen[m].tolist() == _best(score, count)


def test_deviation_over_tokens_ignores_channel_offsets():
    k = _keys().numpy().astype(np.float64)
    chosen = channel_std(_keys(), 3, ())
    for m in range(M):
        score = [k[m, f].std(axis=1).mean() for f in range(F)]
        assert chosen[m].tolist() == _best(score, 3)
    offset = _keys() + 100 * noise(1, F, H, 1, D, seed=7)
    assert torch.equal(channel_std(offset, 3, ()), chosen)
    assert not torch.equal(std(offset, 3, ()), std(_keys(), 3, ()))


def test_near_equal_deviations_are_told_apart_and_equal_ones_go_to_the_earlier():
    frame = noise(1, 1, H, P, D)
    k = torch.cat([frame, frame * (1 + 2**-23), frame, frame * (1 + 2**-22), frame], dim=1)
    assert deviation(k).dtype == torch.float64
    assert std(k, 5, ()).tolist() == [[3, 1, 0, 2, 4]]
    assert largest(torch.tensor([[1.0, 2.0, 2.0, 1.0]]), 4).tolist() == [[1, 2, 0, 3]]


@pytest.mark.parametrize("select", [std, channel_std, first_frames, random_frames])
@pytest.mark.parametrize("count", [1, 4, F, F + 3])
def test_every_choice_is_of_distinct_frames_and_as_many_as_there_are(select, count):
    chosen = select(_keys(), count, [str(m) for m in range(M)])
    assert chosen.shape == (M, min(count, F))
    assert all(len(set(row)) == len(row) and set(row) <= set(range(F)) for row in chosen.tolist())


def test_the_first_frames_are_the_first():
    assert first_frames(_keys(), 3, ()).tolist() == [[0, 1, 2]] * M


def test_random_frames_are_a_function_of_the_draw_alone():
    k, draws = noise(40, F, 1, 1, 2), [str(m) for m in range(40)]
    chosen = random_frames(k, 2, draws)
    assert torch.equal(random_frames(2 * k, 2, draws), chosen)
    assert torch.equal(random_frames(k[7:9], 2, draws[7:9]), chosen[7:9])  # whatever it is batched with
    assert set(chosen.flatten().tolist()) == set(range(F))


def test_taken_are_the_frames_one_after_another():
    x, frames = noise(M, F, H, P, D), torch.tensor([[4, 0], [1, 2], [5, 3]])
    together = taken(x, frames)
    assert together.shape == (M, 1, H, 2 * P, D)
    for m in range(M):
        assert torch.equal(together[m, 0], torch.cat([x[m, f] for f in frames[m]], dim=-2))


@given(windows=st.integers(1, 9), number=st.integers(0, 30))
def test_directions(windows, number):
    forward = list(range(windows))
    backward = forward[::-1]
    assert [list(order) for order in alternate(number, windows, 0)] == [[forward, backward][number % 2]]
    assert [list(order) for order in both(number, windows, 0)] == [forward, backward]
    assert [list(order) for order in either(number, windows, 3)] in ([forward], [backward])


def test_a_coin_s_directions_follow_from_the_seed():
    def directions(seed):
        return [either(number, 2, seed)[0][0] for number in range(64)]

    assert directions(1) == directions(1)
    assert directions(1) != directions(2)
    assert 16 < sum(directions(1)) < 48

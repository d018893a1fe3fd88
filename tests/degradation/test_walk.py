"""Random walks: where they start, how far they go, and that they go there again."""

import json
from itertools import islice, pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcvsr.degradation.walk import Params, Walk, walked
from tests.degradation.making import rng, uniform_between

SPANS = st.tuples(st.floats(-100, 100), st.floats(0, 50), st.floats(0, 20)).map(
    lambda span: Walk(span[0], span[0] + span[1], span[2])
)


def steps(params: Params, count: int = 200) -> list[float]:
    return list(islice(walked(params), count))


@given(SPANS, st.integers(0, 2**31))
def test_a_walk_starts_as_drawn_stays_in_range_and_moves_a_step_at_most(walk: Walk, seed: int) -> None:
    params = walk.draw(rng(seed))
    values = steps(params)
    assert values[0] == params["start"]
    assert all(walk.low <= value <= walk.high for value in values)
    assert all(abs(after - before) <= walk.step * (1 + 1e-9) + 1e-12 for before, after in pairwise(values))


@given(SPANS, st.integers(0, 2**31))
def test_a_walk_is_replayed_exactly_through_json(walk: Walk, seed: int) -> None:
    params = walk.draw(rng(seed))
    assert steps(json.loads(json.dumps(params))) == steps(params)


def test_starts_are_uniform_and_so_are_moves_where_there_is_room() -> None:
    starts = [Walk(-2, 3, 0.1).draw(rng(seed))["start"] for seed in range(2000)]
    assert uniform_between(starts, -2, 3)
    values = steps({"start": 0, "step": 0.1, "low": -1000, "high": 1000, "seed": 5}, 3000)
    assert uniform_between([after - before for before, after in pairwise(values)], -0.1, 0.1)


def test_a_walk_that_meets_a_border_waits_there() -> None:
    values = steps({"start": 0.5, "step": 10, "low": 0, "high": 1, "seed": 0})
    assert {0, 1} < set(values)


def test_without_a_step_nothing_moves() -> None:
    assert set(steps(Walk(1, 2, 0).draw(rng()))) == {Walk(1, 2, 0).draw(rng())["start"]}


def test_walks_of_other_seeds_go_elsewhere() -> None:
    walk = Walk(0, 1, 0.1)
    assert len({tuple(steps(walk.draw_from(rng(seed), 0.5))) for seed in range(50)}) == 50


def test_a_manifest_means_the_same_on_every_machine() -> None:
    """Python's numbers of seed 0, which it promises not to change."""
    random = Random(0)
    assert random.random() == 0.8444218515250481
    values = steps({"start": 0, "step": 1, "low": -9, "high": 9, "seed": 0}, 3)
    assert values == [0, 2 * 0.8444218515250481 - 1, values[1] + 2 * random.random() - 1]


@pytest.mark.parametrize(("low", "high", "step"), [(2, 1, 0.1), (0, 1, -0.1)])
def test_impossible_walks_are_refused(low: float, high: float, step: float) -> None:
    with pytest.raises(ValueError, match="a walk needs low <= high"):
        Walk(low, high, step)

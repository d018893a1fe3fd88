"""Random numbers: a function of their key, and of nothing else."""

import hashlib
import random
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Generator

from dcvsr.degradation.seeds import choose, generator, seed, uniform
from tests.degradation.making import drawn_as_often, rng, uniform_between

KEYS: list[tuple[int | str, ...]] = [
    (),
    (0,),
    ("0",),
    (0, 0),
    (0, 1),
    (1, 0),
    (1, 2, 3),
    (12, 3),
    (1, 23),
    ("1", 23),
    (0, "000"),
    (0, "001"),
    (0, "a, b"),
    (0, "a", "b"),
]


def numbers(generator: Generator) -> list[float]:
    return torch.rand(4, generator=generator).tolist()


def test_every_part_of_a_key_counts() -> None:
    for one, other in combinations(KEYS, 2):
        assert numbers(generator(*one)) != numbers(generator(*other)), (one, other)


@pytest.mark.parametrize("key", KEYS)
def test_nothing_but_the_key_counts(key: tuple[int | str, ...]) -> None:
    first = numbers(generator(*key))
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)
    torch.rand(3)
    assert numbers(generator(*key)) == first


def test_a_key_is_hashed_alike_in_every_process() -> None:
    """Python's own hash of a string is not."""
    digest = hashlib.sha256(b'[3, "000"]').hexdigest()
    assert generator(3, "000").initial_seed() == int(digest[:16], 16) // 2


def test_drawing_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    seed(generator(0))
    uniform(generator(0), 0, 1)
    choose(generator(0), {"a": 1, "b": 1})
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("low", "high"), [(0.2, 3.0), (-3.141593, 3.141593), (1, 30)])
def test_uniform_numbers_are_uniform_and_have_six_decimals(low: float, high: float) -> None:
    source = rng()
    drawn = [uniform(source, low, high) for _ in range(2000)]
    assert uniform_between(drawn, low, high)
    assert all(round(number, 6) == number for number in drawn)


def test_a_number_between_one_and_the_same_is_that_number() -> None:
    assert uniform(rng(), 1 / 3, 1 / 3) == 1 / 3


def test_names_are_chosen_as_often_as_they_weigh() -> None:
    source, weights = rng(), {"a": 0.4, "b": 2.0, "c": 0.0, "d": 1.6}
    drawn = [choose(source, weights) for _ in range(4000)]
    assert "c" not in drawn
    assert drawn_as_often(drawn, {"a": 1, "b": 5, "d": 4})


def test_seeds_are_whole_numbers_that_json_and_every_generator_hold() -> None:
    source = rng()
    drawn = [seed(source) for _ in range(2000)]
    assert len(set(drawn)) == len(drawn)
    assert uniform_between(drawn, 0, 2**31 - 1)

"""Steps in turn, in a shuffled order, and now and then."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Generator, Tensor

from dcvsr.degradation.seeds import uniform
from dcvsr.degradation.steps import InTurn, Shuffled, Sometimes
from dcvsr.degradation.walk import Params
from tests.degradation.making import drawn_as_often, rng

SHAPE = (2, 3, 4, 4)


@dataclass(frozen=True)
class Times:
    """Multiplies, then adds one: order matters."""

    factor: float

    def draw(self, generator: Generator, shape: Sequence[int]) -> Params:
        return {"factor": self.factor, "offset": uniform(generator, 1, 2)}

    def apply(self, params: Params, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        return (params["factor"] * frame + params["offset"] for frame in frames)


STEPS = {"two": Times(2), "three": Times(3), "five": Times(5)}


def test_steps_take_place_one_after_the_other() -> None:
    turn = InTurn(STEPS)
    params = turn.draw(rng(), SHAPE)
    expected = torch.ones(SHAPE)
    for name, factor in {"two": 2, "three": 3, "five": 5}.items():
        expected = factor * expected + params[name]["offset"]
    torch.testing.assert_close(torch.stack(list(turn.apply(params, torch.ones(SHAPE)))), expected)


def test_a_step_without_parameters_is_left_out() -> None:
    turn = InTurn({"never": Sometimes(0, Times(2)), "three": Times(3)})
    params = turn.draw(rng(), SHAPE)
    assert params["never"] is None
    left = torch.stack(list(turn.apply(params, torch.ones(SHAPE))))
    assert torch.equal(left, torch.stack(list(Times(3).apply(params["three"], torch.ones(SHAPE)))))
    assert [name for name, _ in turn.stages(params, torch.ones(SHAPE))] == ["three"]


def test_stages_are_what_each_step_leaves_also_of_steps_in_steps() -> None:
    turn = InTurn({"two": Times(2), "inner": Shuffled({"three": Times(3), "five": Times(5)})})
    params = turn.draw(rng(), SHAPE)
    stages = dict(turn.stages(params, torch.ones(SHAPE)))
    assert list(stages) == ["two", *params["inner"]]
    first, whole = Times(2).apply(params["two"], torch.ones(SHAPE)), turn.apply(params, torch.ones(SHAPE))
    for stage, expected in ((stages["two"], first), (list(stages.values())[-1], whole)):
        assert torch.equal(torch.stack(list(stage)), torch.stack(list(expected)))


def test_shuffled_steps_take_place_in_the_order_drawn_and_all_orders_are_drawn_alike() -> None:
    shuffled, generator, orders = Shuffled(STEPS), rng(), []
    for _ in range(600):
        params = shuffled.draw(generator, SHAPE)
        orders.append(tuple(params))
        expected = torch.ones(SHAPE)
        for drawn in params.values():
            expected = drawn["factor"] * expected + drawn["offset"]
        assert torch.equal(torch.stack(list(shuffled.apply(params, torch.ones(SHAPE)))), expected)
    assert drawn_as_often(orders, dict.fromkeys(set(orders), 1))
    assert len(set(orders)) == 6


@pytest.mark.parametrize("probability", [0.0, 0.8, 1.0])
def test_sometimes_is_as_often_as_told(probability: float) -> None:
    generator = rng()
    taken = [Sometimes(probability, Times(2)).draw(generator, SHAPE) is not None for _ in range(1000)]
    assert sum(taken) / 1000 == pytest.approx(probability, abs=0.05)
    assert probability not in (0, 1) or len(set(taken)) == 1


def test_a_probability_outside_0_to_1_is_refused() -> None:
    with pytest.raises(ValueError, match=r"in \[0, 1\], got 1.5"):
        Sometimes(1.5, Times(2))

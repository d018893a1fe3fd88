"""Exchange between ranks while they compute."""

import time
from threading import Event

import pytest
import torch
from torch import distributed

from dcvsr.runtime.errors import UserError
from dcvsr.runtime.ranks import ALONE, joined
from tests.training.forked import run_ranks

nccl = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="NCCL needs a GPU for each rank")


@pytest.mark.parametrize(
    ("device", "counts"),
    [
        *(("cpu", counts) for counts in [(1, 1), (3, 3), (2, 0, 1), (0, 4)]),
        pytest.param("cuda", (3, 2), marks=nccl),
    ],
)
def test_values_of_all_ranks_come_in_the_order_in_which_each_gave_them(device, counts):
    def task():
        with joined(device) as ranks:
            like = torch.zeros((), device=ranks.device)
            own = (like.new_full((n + 1,), 10.0 * ranks.number + n) for n in range(counts[ranks.number]))
            found = ranks.exchange_each(own, max(counts))
            assert len(found) == max(counts)
            for n, every in enumerate(found):
                for rank, (value, count) in enumerate(zip(every, counts, strict=True)):
                    assert value is None if n >= count else value.tolist() == [10.0 * rank + n] * (n + 1)

    run_ranks(task, codes=(0,) * len(counts))


def test_a_rank_alone_exchanges_with_itself():
    assert ALONE.exchange_each(iter("ab"), 2) == [["a"], ["b"]]


def test_a_value_is_exchanged_while_the_next_is_computed(monkeypatch):
    """Each rank computes its second value only once the first ones have arrived."""
    exchanged, gather = Event(), distributed.all_gather

    def all_gather(*args):
        gather(*args)
        exchanged.set()

    def values():
        yield torch.zeros(4)
        assert exchanged.wait(20)
        yield torch.ones(4)

    def task():
        with joined("cpu") as ranks:
            assert torch.equal(torch.stack(ranks.exchange_each(values(), 2)[1]), torch.ones(2, 4))

    monkeypatch.setattr(distributed, "all_gather", all_gather)
    run_ranks(task)


def test_a_rank_that_fails_amid_an_exchange_ends_the_others_in_one_line(capfd):
    def values(number):
        yield torch.zeros(4)
        if number == 1:
            raise UserError("no memory")
        yield torch.ones(4)

    def task():
        with joined("cpu") as ranks:
            ranks.exchange_each(values(ranks.number), 3)

    begun = time.monotonic()
    run_ranks(task, codes=(1, 1, 1))
    assert time.monotonic() - begun < 30
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("dcvsr: rank")]
    assert len(lines) == 2
    assert not any(line.startswith("dcvsr: rank 1") for line in lines)

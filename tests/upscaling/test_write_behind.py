"""Tests of writing in a thread of its own."""

import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from dcvsr.upscaling.write_behind import write_behind


def chunks(count: int) -> Iterator[Tensor]:
    return (torch.full((2, 3, 4, 4), float(i)) for i in range(count))


@pytest.mark.parametrize("count", [0, 1, 7])
def test_all_chunks_are_written_in_order(count: int) -> None:
    found: list[float] = []
    write_behind(lambda arriving: found.extend(chunk.mean().item() for chunk in arriving), chunks(count))
    assert found == list(range(count))


def test_the_next_chunk_is_made_while_one_is_written() -> None:
    made = threading.Event()

    def pair() -> Iterator[Tensor]:
        yield torch.zeros(1)
        made.set()
        yield torch.ones(1)

    def write(arriving: Iterator[Tensor]) -> None:
        next(arriving)
        assert made.wait(30)  # for ever without the other thread
        assert [chunk.item() for chunk in arriving] == [1]

    write_behind(write, pair())


def test_no_more_than_two_chunks_wait_for_a_slow_writer() -> None:
    written, ahead = [0], []

    def counted() -> Iterator[Tensor]:
        for made, chunk in enumerate(chunks(9)):
            ahead.append(made - written[0])
            yield chunk

    def write(arriving: Iterator[Tensor]) -> None:
        for _ in arriving:
            threading.Event().wait(0.02)
            written[0] += 1

    write_behind(write, counted())
    assert max(ahead) <= 2


def test_an_error_of_the_writer_is_raised_and_ends_the_work() -> None:
    def endless() -> Iterator[Tensor]:
        while True:
            yield torch.zeros(1)

    def write(arriving: Iterator[Tensor]) -> None:
        next(arriving)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_behind(write, endless())


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_of_the_chunks_is_raised_after_the_writer_has_tidied_up(error: type[BaseException]) -> None:
    tidied: list[bool] = []

    def broken() -> Iterator[Tensor]:
        yield torch.zeros(1)
        raise error

    def write(arriving: Iterator[Tensor]) -> None:
        try:
            for _ in arriving:
                pass
        except Exception:
            tidied.append(True)
            raise

    with pytest.raises(error):
        write_behind(write, broken())
    assert tidied == [True]

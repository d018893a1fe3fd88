"""The effective batch stays the same whatever the number of processes."""

import pytest

from dcvsr.runtime.errors import UserError
from dcvsr.training.batch import accumulation


@pytest.mark.parametrize("batch_size", [1, 2, 4])
@pytest.mark.parametrize("processes", [1, 2, 4, 8])
def test_batches_of_all_processes_together_make_the_batch(batch_size: int, processes: int) -> None:
    assert accumulation(256, batch_size, processes) * batch_size * processes == 256


@pytest.mark.parametrize(
    ("numbers", "alternatives"),
    [
        ((256, 1, 3), ["batch=255", "batch=258", "2 processes"]),
        ((256, 3, 4), ["batch=252", "batch=264", "data.batch_size=2"]),
        ((1, 1, 2), ["batch=2", "1 process"]),
        ((9, 6, 1), ["batch=6", "batch=12", "data.batch_size=3"]),
    ],
)
def test_what_does_not_divide_is_refused_with_all_that_would(
    numbers: tuple[int, int, int], alternatives: list[str]
) -> None:
    batch, batch_size, processes = numbers
    refused = f"^batch={batch} is not a multiple of {batch_size * processes} "
    with pytest.raises(UserError, match=f"{refused}.*: choose {' or '.join(alternatives)}$"):
        accumulation(batch, batch_size, processes)


@pytest.mark.parametrize("value", [0, -1, "abc", 1.5])
def test_a_number_of_samples_is_a_positive_integer(value: object) -> None:
    with pytest.raises(UserError, match=f"batch must be at least 1, got {value}"):
        accumulation(value, 1, 1)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=f"data.batch_size must be at least 1, got {value}"):
        accumulation(256, value, 1)  # type: ignore[arg-type]

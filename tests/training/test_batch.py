"""The effective batch stays the same whatever the number of processes."""

import pytest

from dcvsr.runtime.errors import UserError
from dcvsr.training.batch import accumulation


@pytest.mark.parametrize("batch_size", [1, 2, 4])
@pytest.mark.parametrize("processes", [1, 2, 4, 8])
def test_batches_of_all_processes_together_make_the_effective_batch(batch_size: int, processes: int) -> None:
    assert accumulation(256, batch_size, processes) * batch_size * processes == 256


@pytest.mark.parametrize(
    ("numbers", "alternatives"),
    [
        ((256, 1, 3), ["effective_batch=255", "effective_batch=258", "2 processes"]),
        ((256, 3, 4), ["effective_batch=252", "effective_batch=264", "data.batch_size=2"]),
        ((1, 1, 2), ["effective_batch=2", "1 process"]),
        ((9, 6, 1), ["effective_batch=6", "effective_batch=12", "data.batch_size=3"]),
    ],
)
def test_what_does_not_divide_is_refused_with_all_that_would(
    numbers: tuple[int, int, int], alternatives: list[str]
) -> None:
    effective_batch, batch_size, processes = numbers
    refused = f"^effective_batch={effective_batch} is not a multiple of {batch_size * processes} "
    with pytest.raises(UserError, match=f"{refused}.*: choose {' or '.join(alternatives)}$"):
        accumulation(effective_batch, batch_size, processes)


@pytest.mark.parametrize("value", [0, -1, "abc", 1.5])
def test_a_number_of_samples_is_a_positive_integer(value: object) -> None:
    with pytest.raises(UserError, match=f"effective_batch must be at least 1, got {value}"):
        accumulation(value, 1, 1)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=f"data.batch_size must be at least 1, got {value}"):
        accumulation(256, value, 1)  # type: ignore[arg-type]

"""The effective batch: the samples of an optimizer step, over processes and accumulated batches."""

from dcvsr.runtime.errors import UserError


def accumulation(batch: int, batch_size: int, processes: int) -> int:
    """Return the number of batches that each process accumulates in an optimizer step.

    Args:
        batch: samples of an optimizer step, all processes together.
        batch_size: samples of a batch of one process.
        processes: devices of all nodes together.

    Raises:
        UserError: if a number is below 1, or the processes cannot share the effective batch equally.
    """
    for key, value in {"data.batch_size": batch_size, "batch": batch}.items():
        if not isinstance(value, int) or value < 1:
            raise UserError(f"{key} must be at least 1, got {value}")
    together = batch_size * processes
    if batch % together:
        raise UserError(
            f"batch={batch} is not a multiple of {together} "
            f"(data.batch_size={batch_size}, processes: {processes}): "
            f"choose {_alternatives(batch, batch_size, processes)}"
        )
    return batch // together


def _alternatives(batch: int, batch_size: int, processes: int) -> str:
    """Return the nearest valid effective batches, and the next smaller batch size and process count."""
    together = batch_size * processes
    below = batch // together * together
    nearest = [f"batch={batch}" for batch in (below, below + together) if batch]
    sizes = [size for size in range(1, batch_size) if batch % (size * processes) == 0]
    counts = [count for count in range(1, processes) if batch % (batch_size * count) == 0]
    smaller = [f"data.batch_size={sizes[-1]}"] if sizes else []
    fewer = [f"{counts[-1]} process{'es' * (counts[-1] > 1)}"] if counts else []
    return " or ".join([*nearest, *smaller, *fewer])

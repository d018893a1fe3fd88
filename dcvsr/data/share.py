"""Sampler of the training samples of one process."""

from collections.abc import Iterator, Sized

from torch.utils.data import DistributedSampler
from typing_extensions import override


class Share(DistributedSampler[int]):
    """Every ``processes``-th number of an epoch, in order, from the first that was not seen before.

    Lightning replaces samplers that are not a DistributedSampler by one that shuffles. The length is that of
    the whole epoch, because Lightning counts the batches of a resumed run from its start.

    Args:
        dataset: the samples of the epoch.
        processes: processes that share them.
        rank: number of this process.
        done: samples that all processes together have seen.
        shift: added to each number.
    """

    def __init__(self, dataset: Sized, processes: int, rank: int, done: int, shift: int) -> None:
        super().__init__(dataset, processes, rank, shuffle=False)  # type: ignore[arg-type]
        self.numbers = range(done + shift + rank, len(dataset) + shift, processes)

    @override
    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers)

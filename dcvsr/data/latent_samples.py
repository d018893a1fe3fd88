"""Training samples of a `LatentSet`, in random order from a few shards at a time."""

from functools import lru_cache
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from dcvsr.data.latent_set import LatentSet

MIXED = 8
"""Readings of shards that are mixed at a time."""


class LatentSamples(Dataset[dict[str, Any]]):
    """``count`` samples of a set, with the epoch and number that noise is drawn from.

    A sample depends on (seed, epoch, number) alone. All samples are used once before any is used again.
    Crops of a shard are random already, so one draw of all its crops is read in the order of the file.
    Such readings follow each other in random order, and `MIXED` of them alternate at random.

    Args:
        latents: the set; its shards are all there.
        count: samples of the epoch.
        seed: seed of the order.
        epoch: epoch of the order.
    """

    def __init__(self, latents: LatentSet, count: int, seed: int, epoch: int) -> None:
        self._latents, self._count, self._seed, self._epoch = latents, count, seed, epoch

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> dict[str, Any]:
        turn, position = divmod(number, self._latents.samples)
        key = (self._seed, self._epoch, turn)
        shard, draw, row = _order(self._latents, key).place(position)
        return {**self._latents.read(shard, draw, row), "epoch": self._epoch, "number": number}


class Order:
    """A permutation of the samples of a set, as (shard, draw, row).

    Args:
        latents: the set.
        key: numbers that determine the permutation.
    """

    def __init__(self, latents: LatentSet, key: tuple[int, ...]) -> None:
        readings = [(shard, draw) for shard in latents.shards for draw in range(latents.layout.draws)]
        self._key = key
        self._readings = [readings[i] for i in np.random.default_rng(key).permutation(len(readings))]
        self._lengths = np.array([len(latents.crops(shard)) for shard, _ in self._readings])
        self._starts = np.cumsum([0, *np.add.reduceat(self._lengths, self._firsts)])
        self._mixed = lru_cache(1)(self._mix)

    def place(self, position: int) -> tuple[int, int, int]:
        """Return the sample at a position."""
        group = int(np.searchsorted(self._starts, position, side="right")) - 1
        readings, rows = self._mixed(group)
        at = position - self._starts[group]
        shard, draw = self._readings[group * MIXED + readings[at]]
        return shard, draw, int(rows[at])

    @property
    def _firsts(self) -> range:
        return range(0, len(self._readings), MIXED)

    def _mix(self, group: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the reading and the row of each sample of ``MIXED`` readings."""
        lengths = self._lengths[group * MIXED :][:MIXED]
        mixed = np.random.default_rng([*self._key, group]).permutation(
            np.repeat(np.arange(len(lengths)), lengths)
        )
        rows = np.empty_like(mixed)
        for reading, length in enumerate(lengths):
            rows[mixed == reading] = np.arange(length)
        return mixed, rows


@lru_cache(2)
def _order(latents: LatentSet, key: tuple[int, ...]) -> Order:
    return Order(latents, key)

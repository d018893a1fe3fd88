"""Random numbers that depend only on a key, such as the seed and the name of a clip."""

import hashlib
import json
from collections.abc import Mapping

import torch
from torch import Generator


def generator(*key: int | str) -> Generator:
    """Return the generator of a key, such as (seed, epoch, sample) or (seed, name of a clip)."""
    digest = hashlib.sha256(json.dumps(key).encode()).digest()
    return Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)


def seed(generator: Generator) -> int:
    """Draw a seed for random numbers that are drawn later."""
    return int(torch.randint(2**31, (), generator=generator))


def uniform(generator: Generator, low: float, high: float) -> float:
    """Draw a number in [low, high], rounded to six decimals as manifests store it."""
    drawn = torch.rand((), generator=generator, dtype=torch.float64).item()
    return min(max(round(low + (high - low) * drawn, 6), low), high)


def choose(generator: Generator, weights: Mapping[str, float]) -> str:
    """Draw one of the names with probability proportional to its weight."""
    drawn = torch.multinomial(
        torch.tensor(list(weights.values()), dtype=torch.float64), 1, generator=generator
    )
    return list(weights)[int(drawn)]

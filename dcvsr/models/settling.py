"""Choice of the settings of an upscaler that fit into a budget of memory."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from dcvsr.attention.alternating import Alternating
from dcvsr.attention.exchange import Exchange
from dcvsr.models.peak_memory import PeakMemory
from dcvsr.models.upscaler import TiledUpscaler

T = TypeVar("T")

BATCH = 14 * 64 * 64
"""Latent positions of a batch that are enough for a GPU: those of one tile of SVD."""


@dataclass(frozen=True)
class Settled:
    """Settings, and the bytes that they need beside the weights.

    Attributes:
        upscaler: the upscaler with the chosen tiles per batch and exchange.
        chunk: frames decoded together.
        encoding, sampling, decoding: bytes of the stages at their peak; one stage runs at a time.
    """

    upscaler: TiledUpscaler
    chunk: int
    encoding: int
    sampling: int
    decoding: int

    @property
    def bytes(self) -> int:
        """Bytes of the stage that needs most."""
        return max(self.encoding, self.sampling, self.decoding)


def settled(
    upscaler: TiledUpscaler, device: str, size: tuple[int, int, int], chunks: Sequence[int], budget: int
) -> Settled:
    """Return settings that fit into ``budget`` bytes, or those that need least if none do.

    The exchange changes only if ``lockstep`` does not fit with one tile per batch. The batch is the largest
    that fits among those that make sampling faster: a CPU gains nothing from batches.

    Args:
        upscaler: model and settings; its batch is not used.
        device: ``cpu`` or ``cuda``.
        size: frames, height and width of the LR video.
        chunks: numbers of frames that may be decoded together, in order of preference.
        budget: bytes beside the weights.
    """
    frames, height, width = size
    chosen, sampling = _fitting(
        _candidates(upscaler, device, size), lambda each: PeakMemory(each, device).sampling(*size), budget
    )
    memory = PeakMemory(chosen, device)
    chunk, decoding = _fitting(chunks, lambda n: memory.decoding(min(n, frames), height, width), budget)
    return Settled(chosen, chunk, memory.encoding(height, width), sampling, decoding)


def _fitting(choices: Iterable[T], needed: Callable[[T], int], budget: int) -> tuple[T, int]:
    """Return the first choice that fits into ``budget`` and its bytes, else the one that needs least."""
    tried: list[tuple[T, int]] = []
    for choice in choices:
        tried.append((choice, needed(choice)))
        if tried[-1][1] <= budget:
            return tried[-1]
    return min(tried, key=lambda each: each[1])


def _candidates(upscaler: TiledUpscaler, device: str, size: tuple[int, int, int]) -> Iterator[TiledUpscaler]:
    """Yield upscalers in order of preference."""
    for exchange in _exchanges(upscaler):
        batch = _largest_batch(upscaler, device, size)
        while batch:
            yield replace(_with_exchange(upscaler, exchange), batch=batch)
            batch //= 2


def _exchanges(upscaler: TiledUpscaler) -> list[Exchange | None]:
    """Return the exchanges to try in order; None without SAP."""
    propagation = upscaler.propagation
    if not isinstance(propagation, Alternating) or propagation.sap is None:
        return [None]
    lockstep_only = propagation.joint and propagation.tap is not None
    exchange = propagation.sap.exchange
    return ["lockstep", "two_pass"] if exchange == "lockstep" and not lockstep_only else [exchange]


def _with_exchange(upscaler: TiledUpscaler, exchange: Exchange | None) -> TiledUpscaler:
    propagation = upscaler.propagation
    if exchange is None or not isinstance(propagation, Alternating) or propagation.sap is None:
        return upscaler
    sap = replace(propagation.sap, exchange=exchange)
    return replace(upscaler, propagation=replace(propagation, sap=sap))


def _largest_batch(upscaler: TiledUpscaler, device: str, size: tuple[int, int, int]) -> int:
    """Return the number of tiles per batch beyond which sampling is not faster."""
    tiles = upscaler.windows(*size)[0]
    positions = max(math.prod(tile.shape) for tile in tiles)
    return 1 if device == "cpu" else max(1, min(len(tiles), BATCH // positions))

"""Cost of a run: U-Net evaluations, FLOPs by part, exchanged bytes, seconds and memory."""

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from dcvsr.attention.observer import Observer, Place
from dcvsr.diffusion.protocols import Upscaler
from dcvsr.models.conditioning import pictures
from dcvsr.models.flops import Flops
from dcvsr.models.upscaler import TiledUpscaler

PARTS = ("plain", "sap", "tap", "joint", "guidance", "upsample", "vae", "image_encoder")


class Ledger(Observer):
    """Observer that counts the cost of an upscaler; methods without a denoiser have only seconds and memory.

    - ``plain``: the conditional estimate without propagation, one evaluation per tile and step.
    - ``sap``, ``tap``: its attention to merged keys, and further evaluations of a tile by ``two_pass``,
      ``clean`` and TAP in both directions.
    - ``guidance``: all other branches including their propagation. Attention that SAG reads or PAG replaces
      counts as plain attention.
    - ``upsample``, ``vae``, ``image_encoder``: upsampling of LR; encoding and decoding; embedding of each
      conditioning image once.

    ``exchanged_bytes`` counts the keys and values that tiles give to others, in all branches, each once;
    ``ranks``, where there are several, the evaluations of each and the bytes that all received.
    Only events, ``running`` and ``add`` write the counts.
    """

    def __init__(self, upscaler: Upscaler) -> None:
        self.flops = Flops(upscaler) if isinstance(upscaler, TiledUpscaler) else None
        self.evaluations: Counter[tuple[str, tuple[int, ...]]] = Counter()
        self.added: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter(sap=0, tap=0)
        self.videos: list[tuple[int, int, int]] = []
        self.seconds = 0.0
        self.peak_memory = 0
        self.received = 0
        self.ranks: list[int] = []
        self._seen: set[tuple[object, ...]] = set()

    @contextmanager
    def running(self, sizes: Iterable[tuple[int, int, int]], device: torch.device) -> Iterator[None]:
        """Measure the upscaling of LR videos with these numbers of frames, heights and widths."""
        self.videos += sizes
        self._seen.clear()
        with measured(device) as measure:
            yield
        self.seconds += measure["seconds"]
        self.peak_memory = max(self.peak_memory, measure["peak_memory_bytes"])

    def evaluated(self, place: Place, x: Tensor) -> None:
        """Count an evaluation."""
        here = place.step, place.sigma, place.window, place.tiles, place.branch
        part = _part(place) if place.branch or here in self._seen else "plain"
        self._seen.add(here)
        frames, _, rows, columns = x.shape[1:]
        self.evaluations[part, (frames, rows, columns)] += len(x)

    def attended(self, place: Place, layer: str, q: Tensor, k: Tensor) -> None:
        """Count the FLOPs of attention to merged keys."""
        self.added[_part(place)] += (
            4 * q.numel() * (k.shape[-2] - q.shape[-2])
        )  # Q K^T and the weights times V

    def exchanged(self, place: Place, layer: str, k: Tensor, v: Tensor) -> None:
        """Count exchanged bytes."""
        self.bytes[place.scheme] += k.nbytes + v.nbytes

    def counts(self) -> tuple[Counter[Any], ...]:
        """Return evaluations, added FLOPs and exchanged bytes, for the leader's ledger."""
        return self.evaluations, self.added, self.bytes

    def add(self, others: Sequence[Sequence[Mapping[Any, int]]], received: int) -> None:
        """Add the counts of other ranks.

        Args:
            others: ``counts`` of each.
            received: bytes that all ranks received.
        """
        self.received += received
        parts = [sum(counts[0].values()) for counts in (self.counts(), *others)]
        before = self.ranks or [0] * len(parts)
        self.ranks = [a + b for a, b in zip(before, parts, strict=True)]
        for counts in others:
            for own, other in zip(self.counts(), counts, strict=True):
                own.update(other)

    def report(self) -> dict[str, Any]:
        """Return the counts as plain values; U-Net ``evaluations`` are those of single tiles."""
        flops = dict.fromkeys(PARTS, 0) | self._flops()
        shared = {"ranks": {"evaluations": self.ranks, "received_bytes": self.received}} if self.ranks else {}
        return {
            "evaluations": self.evaluations.total(),
            "flops": {**flops, "total": sum(flops.values())},
            "exchanged_bytes": dict(self.bytes),
            "seconds": self.seconds,
            "peak_memory_bytes": self.peak_memory,
            **shared,
        }

    def _flops(self) -> Counter[str]:
        flops = Counter(self.added)
        if self.flops is None:
            return flops
        for (part, size), number in self.evaluations.items():
            flops[part] += number * self.flops.evaluation(*size)
        up = self.flops.upscaler
        for size in self.videos:
            steps = (up.windows(*size, step) for step, _ in up.sampler.evaluations)
            tiles = {tile.box: tile for windows in steps for window in windows for tile in window}
            frames, rows, columns = (max(box[end] for box in tiles) for end in (1, 3, 5))
            shown = (pictures(tile, up.image_frames, (frames, rows, columns)) for tile in tiles.values())
            coder = up.latents.autoencoder
            pixels = rows * coder.factor, columns * coder.factor
            flops["upsample"] += size[0] * self.flops.upsampling(*size[1:])
            flops["vae"] += size[0] * self.flops.encoding(*pixels)
            decoded: Counter[tuple[int, ...]] = Counter()
            for number, *part in coder.decoded_sizes(size[0], *pixels):
                decoded[tuple(part)] += number
            flops["vae"] += sum(number * self.flops.decoding(*part) for part, number in decoded.items())
            flops["image_encoder"] += len({p.box for some in shown for p in some}) * self.flops.image
        return flops


def _part(place: Place) -> str:
    """Return the part that an evaluation beyond the plain one, or attention to merged keys, belongs to."""
    if place.branch:
        return "guidance"
    return "plain" if place.scheme == "none" else place.scheme


@contextmanager
def measured(device: torch.device) -> Iterator[dict[str, Any]]:
    """Measure ``seconds`` and ``peak_memory_bytes`` of the block; available afterwards.

    On a GPU the peak is torch's peak inside the block; on a CPU it is the process's largest resident size.
    """
    measure: dict[str, Any] = {}
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    started = time.monotonic()
    yield measure
    if on_gpu:
        torch.cuda.synchronize(device)
    measure["seconds"] = time.monotonic() - started
    measure["peak_memory_bytes"] = torch.cuda.max_memory_allocated(device) if on_gpu else _resident()


def _resident() -> int:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def flat(report: Mapping[str, Any], prefix: str) -> dict[str, float]:
    """Flatten a report to keys such as ``prefix/flops/plain``, for loggers."""
    leaves: dict[str, float] = {}
    for key, value in report.items():
        leaves |= flat(value, f"{prefix}/{key}") if isinstance(value, Mapping) else {f"{prefix}/{key}": value}
    return leaves

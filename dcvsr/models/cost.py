"""What a run costs: evaluations, FLOPs by part, bytes exchanged, seconds and memory."""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from dcvsr.attention.observer import Observer, Place
from dcvsr.diffusion.protocols import Upscaler
from dcvsr.models.conditioning import pictures
from dcvsr.models.flops import Flops
from dcvsr.models.upscaler import TiledUpscaler

PARTS = ("plain", "sap", "tap", "guidance", "upsample", "vae", "image_encoder")


class Ledger(Observer):
    """Counts what an upscaler does; one without a network, as bicubic is, costs seconds and memory alone.

    - ``plain``: what the conditional estimate costs without propagation: an evaluation of each tile and step.
    - ``sap``, ``tap``: attention to merged keys in it, and further evaluations of a tile, which ``two_pass``,
      ``clean`` and TAP in both directions make.
    - ``guidance``: everything that the other branches cost, their propagation too. Attention that SAG reads
      or PAG replaces is counted as plain attention.
    - ``upsample``, ``vae``, ``image_encoder``: LR to upsampled video; that to latents and result to video;
      the pictures that condition the tiles, each once.

    ``exchanged_bytes`` are keys and values that tiles give away, in all branches, each once.

    All its state is counts, written by its events and by ``running`` alone.
    """

    def __init__(self, upscaler: Upscaler) -> None:
        self.flops = Flops(upscaler) if isinstance(upscaler, TiledUpscaler) else None
        self.evaluations: Counter[tuple[str, tuple[int, ...]]] = Counter()
        self.added: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter(sap=0, tap=0)
        self.videos: list[tuple[int, int, int]] = []
        self.seconds = 0.0
        self.peak_memory = 0
        self._seen: set[tuple[object, ...]] = set()

    @contextmanager
    def running(self, lr: Tensor) -> Iterator[None]:
        """Inside, ``lr`` (``f c h w``) is upscaled once."""
        self.videos.append((len(lr), lr.shape[-2], lr.shape[-1]))
        self._seen.clear()
        with measured(lr.device) as measure:
            yield
        self.seconds += measure["seconds"]
        self.peak_memory = max(self.peak_memory, measure["peak_memory_bytes"])

    def evaluated(self, place: Place, x: Tensor) -> None:
        here = place.step, place.sigma, place.window, place.tiles, place.branch
        part = _part(place) if place.branch or here in self._seen else "plain"
        self._seen.add(here)
        frames, _, rows, columns = x.shape[1:]
        self.evaluations[part, (frames, rows, columns)] += len(x)

    def attended(self, place: Place, layer: str, q: Tensor, k: Tensor) -> None:
        self.added[_part(place)] += (
            4 * q.numel() * (k.shape[-2] - q.shape[-2])
        )  # Q K^T and the weights times V

    def exchanged(self, place: Place, layer: str, k: Tensor, v: Tensor) -> None:
        self.bytes[place.scheme] += k.nbytes + v.nbytes

    def report(self) -> dict[str, Any]:
        """The counts as plain values; U-Net ``evaluations`` are of one tile each. FLOPs are counted here."""
        flops = dict.fromkeys(PARTS, 0) | self._flops()
        return {
            "evaluations": self.evaluations.total(),
            "flops": {**flops, "total": sum(flops.values())},
            "exchanged_bytes": dict(self.bytes),
            "seconds": self.seconds,
            "peak_memory_bytes": self.peak_memory,
        }

    def _flops(self) -> Counter[str]:
        flops = Counter(self.added)
        if self.flops is None:
            return flops
        for (part, size), number in self.evaluations.items():
            flops[part] += number * self.flops.evaluation(*size)
        up = self.flops.upscaler
        for size in self.videos:
            steps = (up.windows(*size, step) for step in up.sampler.evaluations)
            tiles = {tile.box: tile for windows in steps for window in windows for tile in window}
            frames, rows, columns = (max(box[end] for box in tiles) for end in (1, 3, 5))
            shown = (pictures(tile, up.image_frames, (frames, rows, columns)) for tile in tiles.values())
            coder = up.latents.autoencoder
            pixels = rows * coder.factor, columns * coder.factor
            flops["upsample"] += size[0] * self.flops.upsampling(*size[1:])
            flops["vae"] += frames * self.flops.encoding(*pixels)
            flops["vae"] += coder.decoded_frames(frames) * self.flops.decoding(*pixels)
            flops["image_encoder"] += len({p.box for some in shown for p in some}) * self.flops.image
        return flops


def _part(place: Place) -> str:
    """What an evaluation beyond the plain one, or its merged keys, is spent on."""
    if place.branch:
        return "guidance"
    return "plain" if place.scheme == "none" else place.scheme


@contextmanager
def measured(device: torch.device) -> Iterator[dict[str, Any]]:
    """``seconds`` and ``peak_memory_bytes`` of what happens inside; known afterwards.

    On a GPU torch's peak inside; elsewhere the process's largest resident size so far, the model included.
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
    """A report as ``prefix/flops/plain`` and so on, for loggers."""
    leaves: dict[str, float] = {}
    for key, value in report.items():
        leaves |= flat(value, f"{prefix}/{key}") if isinstance(value, Mapping) else {f"{prefix}/{key}": value}
    return leaves

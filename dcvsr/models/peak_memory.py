"""Prediction of an upscaler's peak memory from its operations on meta tensors, without weights and data."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import count
from typing import Any

import torch
from torch import Tensor

from dcvsr.attention.exchange import Propagate
from dcvsr.attention.observer import NOBODY, Place
from dcvsr.attention.processor import Call, calling
from dcvsr.attention.propagation import Round
from dcvsr.attention.self_attention import Attend, self_attention
from dcvsr.diffusion.initial_noise import gaussian_noise
from dcvsr.models.colour_correction import corrected
from dcvsr.models.denoiser import Condition
from dcvsr.models.live_bytes import LiveBytes, crowded
from dcvsr.models.operations import empty, on_meta, weights
from dcvsr.models.upscaler import TiledUpscaler
from dcvsr.tiling.grid import Tile
from dcvsr.tiling.padding import padded

Kind = tuple[tuple[int, int, int], int]
"""Shape of a tile, and the number of tiles in a batch of the U-Net."""

HEAP = {"cpu": 1.35, "cuda": 1.1}
"""Device -> memory of a process over the bytes of its tensors.

glibc keeps freed blocks: on two threads at nano, the resident size is 1.2 to 1.6 times the tensors. It is
1.00 to 1.02 times with MALLOC_MMAP_THRESHOLD_=65536, which returns each block and is slower. The number of a
GPU is a margin for PyTorch's cache, not measured.
"""


@dataclass(frozen=True)
class Window:
    """One evaluation of a window.

    Attributes:
        tiles: tiles of the window.
        step, sigma: sampler step and its noise level.
        count: windows of the canvas, which limits what TAP hands from one to the next.
    """

    tiles: Sequence[Tile]
    step: int
    sigma: float
    count: int


@dataclass(frozen=True)
class PeakMemory:
    """Bytes that the parts of ``upscaler`` need at their peak, beside the weights.

    Inputs and results of a part count. Frames and latents that wait outside of it do not.

    Attributes:
        device: ``cpu`` or ``cuda``; neither is used.
    """

    upscaler: TiledUpscaler
    device: str

    def sampling(self, frames: int, height: int, width: int) -> int:
        """Predict the bytes of sampling one window of an LR video of this length and size.

        The window is the largest, and the step the most expensive one of each exchange.
        """
        up, cases = self.upscaler, dict[str, tuple[tuple[int, ...], Window]]()
        for step, sigma in up.sampler.evaluations:
            windows = up.windows(frames, height, width, step)
            tiles = max(windows, key=_size)
            scheme = up.propagation.round(step, up.sampler.steps).scheme
            size = up.guidance.evaluations(sigma), *_size(tiles)
            case = size, Window(tiles, step, sigma, len(windows))
            cases[scheme] = max(case, cases.get(scheme, case), key=lambda case: case[0])
        return max(self.window(window) for _, window in cases.values())

    def window(self, window: Window) -> int:
        """Predict the bytes of one evaluation of a window, with all branches of the guidance."""
        up, denoiser = self.upscaler, self._meta[0]
        round, kinds = up.propagation.round(window.step, up.sampler.steps), _kinds(window.tiles, up.batch)
        largest, handed = 0, 0
        with (
            torch.inference_mode(),
            LiveBytes(self._weights, self.device, up.precision) as live,
            denoiser.propagated(self.device),
        ):
            for n in range(window.count):
                here = window.step, window.sigma, round.scheme, "forward", n
                place = Place(*here, (), len(window.tiles), 0, (0, 0))
                tasks = [partial(self._estimate, kind, place, round) for kind in kinds]
                largest = max(largest, crowded(tasks, list(kinds.values()), live))
                before, handed = handed, live.live.total()
                if handed == before:  # what TAP hands on no longer grows
                    break
        rows = max(tile.rows.stop for tile in window.tiles)
        columns = max(tile.columns.stop for tile in window.tiles)
        canvas = 4 * up.latents.autoencoder.channels * window.tiles[0].shape[0] * rows * columns
        return int(HEAP[self.device] * (largest + 2 * canvas))  # x and l; the sum of the tiles comes after

    def encoding(self, height: int, width: int) -> int:
        """Predict the bytes of upsampling and encoding an LR frame, of its embedding and its noise."""
        _, latents, image_encoder, upsample = self._meta
        padded_height, padded_width = self._padded(height, width)
        coder = latents.autoencoder
        rows, columns = range(padded_height // coder.factor), range(padded_width // coder.factor)

        def encode() -> None:
            up = padded(upsample(empty(1, 3, height, width)), 1, padded_height, padded_width)
            kept = latents.condition(up[None]), image_encoder(up)
            gaussian_noise(0, range(1), coder.channels, rows, columns, "meta")
            del kept

        return self._peak(encode)

    def decoding(self, frames: int, height: int, width: int) -> int:
        """Predict the bytes of decoding a chunk of ``frames`` of an LR video of ``height`` x ``width``."""
        latents, colour = self._meta[1], self.upscaler.colour
        size, coder = self._padded(height, width), latents.autoencoder

        def decode() -> None:
            y, l = (
                empty(1, frames, coder.channels, *(side // coder.factor for side in size)) for _ in range(2)
            )
            hr = latents.decode(y, l)[0]
            up = hr if colour == "none" else empty(frames, 3, *size)
            corrected(hr, up, colour).clamp(0, 1)

        return self._peak(decode)

    def _padded(self, height: int, width: int) -> tuple[int, int]:
        """Return the HR size of an LR frame on its canvas."""
        factor = self.upscaler.factor
        return self.upscaler.canvas(1, factor * height, factor * width)[1:]

    def _estimate(self, kind: Kind, place: Place, round: Round) -> Tensor:
        """Compute the guided estimate of a batch of tiles, as a `TiledDenoiser` does."""
        (frames, rows, columns), size = kind
        up, denoiser, branches = self.upscaler, self._meta[0], count()
        x, latent = (empty(size, frames, up.latents.autoencoder.channels, rows, columns) for _ in range(2))
        tokens = frames if up.image_frames == "each" else 1
        condition = Condition(latent, empty(size, tokens, up.denoiser.embedding_size))

        def denoise(
            x: Tensor,
            sigma: float,
            condition: Condition,
            attend: Attend = self_attention,
            mid: Attend | None = None,
        ) -> Tensor:
            tiles = tuple(range(size))  # TAP tells batches apart by their tiles
            here = replace(place, tiles=tiles, branch=next(branches), size=(rows, columns))

            def evaluate(propagate: Propagate) -> Tensor:
                with calling(Call(propagate, attend, mid, here)):
                    return denoiser(x, torch.full((size,), sigma, device="meta"), condition)

            return round(evaluate, here, NOBODY)

        return up.guidance(denoise, x, place.sigma, condition)

    def _peak(self, run: Callable[[], object]) -> int:
        """Predict the bytes of ``run``, which is in float32."""
        with torch.inference_mode(), LiveBytes(self._weights, self.device) as live, live.running(0):
            run()
        return int(HEAP[self.device] * live.peak)

    @cached_property
    def _meta(self) -> Any:
        up = self.upscaler
        return on_meta((up.denoiser, up.latents, up.image_encoder, up.upsample))

    @cached_property
    def _weights(self) -> list[Tensor]:
        return weights(self._meta)


def _kinds(tiles: Sequence[Tile], batch: int | None) -> dict[Kind, int]:
    """Return the number of batches of each kind in a window.

    A shifted grid cuts tiles at the border; as many of the largest tile as fill the window stand for all.
    """
    largest = max((tile.shape for tile in tiles), key=math.prod)
    number = -(-sum(math.prod(tile.shape) for tile in tiles) // math.prod(largest))
    size = min(batch or number, number)
    whole, rest = divmod(number, size)
    return {(largest, size): whole, **({(largest, rest): 1} if rest else {})}


def _size(tiles: Sequence[Tile]) -> tuple[int, int]:
    """Return the positions of all tiles and of the largest one."""
    sizes = [math.prod(tile.shape) for tile in tiles]
    return sum(sizes), max(sizes)

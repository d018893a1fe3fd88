"""Stages of one upscaling, in the parts that a rank computes alone: a frame, a window or its tiles, a chunk.

Axes: video ``f c h w`` in [0, 1]; latent canvas ``f k h w``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dcvsr.attention.lockstep import Exchange, among_themselves
from dcvsr.attention.observer import Observer
from dcvsr.attention.propagation import Round
from dcvsr.diffusion.protocols import Advance, Combination, ignored
from dcvsr.models.clip_condition import ClipCondition, LRClip
from dcvsr.models.conditioning import pictures
from dcvsr.models.denoiser import Condition
from dcvsr.models.sharing import owners
from dcvsr.models.tiled import Group, TiledDenoiser, Visit, grouped
from dcvsr.runtime.frame_stores import FrameStore
from dcvsr.runtime.ranks import Ranks
from dcvsr.tiling.grid import Tile

if TYPE_CHECKING:
    from dcvsr.models.upscaler import TiledUpscaler


class ClipStages:
    """Encoding of a frame, evaluation of a window, and decoding of a chunk of one clip.

    Args:
        upscaler: model and settings.
        clip: the LR frames.
        l: store of their latents, which the caller fills.
        device: device of the model.
        ranks: this process among those that share the clip.
        advance: progress callback, in evaluations of single tiles.
        observer: receives the evaluations.
    """

    def __init__(
        self,
        upscaler: TiledUpscaler,
        clip: LRClip,
        l: FrameStore,
        device: torch.device,
        ranks: Ranks,
        advance: Advance,
        observer: Observer,
    ) -> None:
        self.upscaler, self.clip, self.l, self.device = upscaler, clip, l, device
        self.ranks, self.advance, self.observer = ranks, advance, observer
        self.size = latent_size(upscaler, clip)
        self.condition = ClipCondition(upscaler, clip, l, self.size, device)

    @cached_property
    def shown(self) -> Mapping[int, Sequence[Tile]]:
        """Pictures of all tiles by their frames."""
        found: dict[int, dict[tuple[int, ...], Tile]] = defaultdict(dict)
        up, lr = self.upscaler, (self.clip.frames, self.clip.height, self.clip.width)
        for step in range(up.sampler.steps):
            for tile in (tile for window in up.windows(*lr, step) for tile in window):
                for picture in pictures(tile, up.image_frames, self.size):
                    found[picture.frames.start][picture.box] = picture
        return {i: list(tiles.values()) for i, tiles in found.items()}

    def lr(self, i: int) -> Tensor:
        """Return the LR frame of a frame of the canvas, ``1 c h w``; beyond the clip, its last one."""
        at = min(i, self.clip.frames - 1)
        return self.clip.read(range(at, at + 1))

    def encoded(self, i: int) -> tuple[Tensor, Tensor]:
        """Return l and x_T of a frame of the canvas, ``1 k h w``."""
        up, frame = self.upscaler, self.condition.frame(i)
        with torch.autocast(self.device.type, enabled=False):
            x_T = up.sampler.initial(frame.x_T(up.seed, self.condition.place(i)))
            return frame.latent[0], x_T[None]

    def embed(self, frames: range) -> None:
        """Embed the pictures of frames, one frame a rank, and let all ranks know them."""
        if any(i in self.shown for i in frames):
            number = self.ranks.number
            own = self.shown.get(frames[number], []) if number < len(frames) else []
            given = self.ranks.exchange([self.condition.embedding(picture) for picture in own])
            for i, embeddings in zip(frames, given, strict=False):
                self.condition.learn(self.shown.get(i, []), embeddings)

    def evaluation(self, number: int, guidance: Combination[Condition]) -> CanvasEvaluation:
        """Return an evaluation of the canvas, before its first window."""
        up = self.upscaler
        step, sigma = up.sampler.evaluations[number]
        tiled = TiledDenoiser(
            up.denoiser,
            guidance,
            up.propagation,
            partial(up.grid.windows, *self.size),
            self.condition,
            up.blend,
            up.blend_time,
            up.sampler.steps,
            up.batch,
            self.advance,
            [] if self.advance is ignored else up.shares,
            self.observer,
        )
        return CanvasEvaluation(
            tiled, step, sigma, tiled.round(step), tiled.visits(step), self.ranks, self.device
        )

    def work(self, evaluation: CanvasEvaluation, visit: Visit, tiles: int) -> int:
        """Return the U-Net evaluations of some tiles of a window, in all branches of the guidance."""
        branches = range(self.upscaler.guidance.evaluations(evaluation.sigma))
        return tiles * sum(evaluation.round.evaluations(branch, len(visit.tiles)) for branch in branches)

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Enter the network's precision and its propagated layers."""
        kind, dtype = self.device.type, self.upscaler.precision
        with (
            torch.autocast(kind, dtype, enabled=dtype != torch.float32),
            self.upscaler.denoiser.propagated(),
        ):
            yield

    def decoded(self, y: Tensor, l: Tensor) -> Tensor:
        """Decode a chunk of frames from estimated latents and those of LR, ``f k h w``, to ``1 f c h w``."""
        with torch.autocast(self.device.type, enabled=False):
            return self.upscaler.latents.decode(*(latent.to(self.device)[None] for latent in (y, l)))


@dataclass(frozen=True)
class CanvasEvaluation:
    """One evaluation of the denoiser over the canvas.

    Attributes:
        tiled: the denoiser over tiles.
        step, sigma: sampler step and noise level.
        round: the exchange of the step.
        visits: evaluations of windows, in order.
        ranks: this process among those that share it.
        device: device of the model.
    """

    tiled: TiledDenoiser
    step: int
    sigma: float
    round: Round
    visits: Sequence[Visit]
    ranks: Ranks
    device: torch.device

    def whole(self, visit: Visit, x: Tensor) -> Tensor:
        """Return the weighted sum of the tiles of a window that this rank evaluates alone."""
        return self.tiled.weighted(x, visit, self.round, self.sigma, self.step)

    def shares(self, visit: Visit) -> list[tuple[int, Group]]:
        """Return the groups of a window with the rank of each, in the order of blending."""
        groups = grouped(visit.tiles, self.tiled.batch)
        return list(zip(owners(groups, self.ranks.count), groups, strict=True))

    def share(self, visit: Visit, x: Tensor) -> list[Tensor]:
        """Return the estimates of the groups that are this rank's; all ranks take part."""
        own = [group for rank, group in self.shares(visit) if rank == self.ranks.number]
        return self.tiled.estimates(x, visit, own, self.round, self.sigma, self.step, self._exchange(visit))

    def restore(self, carried: Mapping[str, Tensor]) -> None:
        """Take what a window hands to the next one, for the tiles that are this rank's."""
        own = {
            ",".join(map(str, group))
            for rank, group in self.shares(self.visits[0])
            if rank == self.ranks.number
        }
        kept = {name: tensor for name, tensor in carried.items() if name.split("/")[1] in own}
        self.round.restore({name: tensor.to(self.device) for name, tensor in kept.items()})

    def _exchange(self, visit: Visit) -> Exchange:
        """Return the exchange of offers among all ranks, in the order of the groups."""
        if self.round.scheme not in ("sap", "joint"):
            return among_themselves  # their tiles never meet
        order = [rank for rank, _ in self.shares(visit)]
        most = max(map(order.count, order))
        places = [(order[:n].count(rank), rank) for n, rank in enumerate(order)]

        def exchange(offers: Iterator[Any]) -> list[Any] | None:
            found = self.ranks.exchange_each(offers, most)
            if all(offer is None for each in found for offer in each):
                return None
            return [found[number][rank] for number, rank in places]

        return exchange


def latent_size(upscaler: TiledUpscaler, clip: LRClip) -> tuple[int, int, int]:
    """Return frames, rows and columns of the canvas of a clip."""
    coder, factor = upscaler.latents.autoencoder, upscaler.factor
    frames, height, width = upscaler.canvas(clip.frames, factor * clip.height, factor * clip.width)
    return frames, height // coder.factor, width // coder.factor

"""Part of the ranks that help the leader to upscale a clip.

Axes: video ``f c h w`` in [0, 1]; latent canvas ``f k h w``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dcvsr.attention.observer import Observer
from dcvsr.diffusion.protocols import ignored
from dcvsr.models.clip_condition import LRClip
from dcvsr.models.clip_stages import CanvasEvaluation, ClipStages
from dcvsr.runtime.frame_stores import FramesInMemory
from dcvsr.runtime.ranks import Ranks

if TYPE_CHECKING:
    from dcvsr.models.upscaler import TiledUpscaler


class UpscalingHelper:
    """Work of a rank other than the leader on one clip: the parts that an `UpscalingJob` tells it.

    It keeps one LR frame and the latents of one window.

    Args:
        upscaler: model and settings, those of the leader.
        clip: frames, height, width, start, top and left of an `LRClip`.
        device: device of the model.
        ranks: this process among those that share the clip.
        observer: receives the evaluations.
    """

    def __init__(
        self,
        upscaler: TiledUpscaler,
        clip: tuple[int, int, int, int, int, int],
        device: torch.device,
        ranks: Ranks,
        observer: Observer,
    ) -> None:
        self.device, self.ranks = device, ranks
        self._frames, self._l = dict[int, Tensor](), FramesInMemory()
        read = LRClip(lambda frames: self._frames[frames.start], *clip)
        self.stages = ClipStages(upscaler, read, self._l, device, ranks, ignored, observer)
        self._evaluation: CanvasEvaluation | None = None

    @torch.inference_mode()
    def __call__(self) -> None:
        """Do what the leader tells until the clip is done."""
        while task := self.ranks.told():
            name, *values = task
            {
                "encode": self._encode,
                "evaluate": self._evaluate,
                "windows": self._window,
                "tiles": self._tiles,
                "carried": self._carried,
                "decode": self._decode,
            }[name](*values)

    @property
    def evaluation(self) -> CanvasEvaluation:
        """The evaluation that was begun last."""
        assert self._evaluation is not None
        return self._evaluation

    def _encode(self, frames: range, are_new: bool) -> None:
        if self.ranks.number < len(frames):
            i = frames[self.ranks.number]
            self._frames = {min(i, self.stages.clip.frames - 1): self.ranks.receive(0)}
            if are_new:
                self.ranks.send(self.stages.encoded(i), 0)
        self.stages.embed(frames)

    def _evaluate(self, number: int, carried: dict[str, Tensor]) -> None:
        guidance = self.stages.upscaler.guidance
        self._evaluation = self.stages.evaluation(number, guidance)
        self._evaluation.restore(carried)

    def _window(self, first: int) -> None:
        visit = self.evaluation.visits[first + self.ranks.number]
        x, l = self.ranks.receive(0)
        self._keep(visit.frames, l)
        with self.stages.sampling():
            self.ranks.send(self.evaluation.whole(visit, x.to(self.device)), 0)

    def _tiles(self, first: int, x: Tensor, l: Tensor) -> None:
        visit = self.evaluation.visits[first]
        self._keep(visit.frames, l)
        with self.stages.sampling():
            self.ranks.send(self.evaluation.share(visit, x.to(self.device)), 0)

    def _keep(self, frames: range, l: Tensor) -> None:
        """Keep the latents of a window in place of those of the one before."""
        self._l.clear()
        self._l.write(frames.start, l)

    def _carried(self) -> None:
        self.ranks.send(self.evaluation.round.carried(), 0)

    def _decode(self, parts: int) -> None:
        for _ in range(self.ranks.number, parts, self.ranks.count):
            self.ranks.send(self.stages.decoded(*self.ranks.receive(0)), 0)


def help_with_clips(upscaler: Any, device: torch.device, ranks: Ranks, observer: Observer) -> None:
    """Help with clips until the leader tells that there are no more."""
    while clip := ranks.told():
        UpscalingHelper(upscaler, clip, device, ranks, observer)()

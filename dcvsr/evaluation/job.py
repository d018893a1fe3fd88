"""An evaluation at work: each clip by each seed, restored, kept and scored, unless that is done already."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from dcvsr.attention.observer import Observers
from dcvsr.degradation.strength import strength
from dcvsr.evaluation.clip_scores import scored
from dcvsr.evaluation.inputs import InputClip, Sources
from dcvsr.evaluation.progress import Progress
from dcvsr.imaging import to_bytes, to_unit
from dcvsr.models.cost import Ledger

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """What is evaluated, on what, and by what.

    Args:
        upscalers: seed -> the upscaler with it.
        sources: the clips.
        metrics: by name.
        keep: ``(name, frames f c h w)``, called with the results of the first seed.
        probes: observers that want to know the name of the clip.
        device: where it is done.
    """

    upscalers: Mapping[int, Any]
    sources: Sources
    metrics: Mapping[str, Any]
    keep: Callable[[str, Tensor], object]
    probes: Sequence[Any]
    device: torch.device

    def todo(self, progress: Progress) -> list[tuple[str, int]]:
        """Clips and seeds without a result."""
        every = [(name, seed) for name in self.sources.clips for seed in self.upscalers]
        return [(name, seed) for name, seed in every if progress.result(name, seed) is None]

    def work(self, name: str, seed: int) -> int:
        """Tiles, or frames of an upscaler that takes no tiles."""
        return self.upscalers[seed].work(*self.sources.lr_shape(name))

    def plan(self, progress: Progress) -> str:
        """What is ahead, in words."""
        todo, clips = self.todo(progress), len(self.sources.clips)
        done = clips * len(self.upscalers) - len(todo)
        tiles = sum(self.work(*task) for task in todo)
        before = f", results from before: {done}" if done else ""
        return f"clips: {clips}, seeds: {len(self.upscalers)}, ahead: {tiles} tiles or frames{before}"

    def run(self, progress: Progress) -> None:
        """Do what is to be done, and tell ``progress``.

        Raises:
            UserError: if a result differs from its truth in frames or size; nothing is cropped.
        """
        first, todo = min(self.upscalers), self.todo(progress)
        ledger = Ledger(self.upscalers[first])
        with tqdm(total=sum(self.work(*task) for task in todo), unit="tile") as bar:
            for name, seed in todo:
                bar.set_description(name)
                source = self.sources.read(name)
                restored = self._restored(name, seed, source, ledger, bar.update)
                scores, refused = scored(name, restored, self._truth(source), self.metrics)
                if seed == first:
                    self.keep(name, restored)
                result = {
                    "scores": scores,
                    "refused": refused,
                    "lr_sha256": source.digest,
                    "strength": None
                    if source.parameters is None
                    else strength(source.parameters, len(source.lr)),
                }
                progress.add(name, seed, result, ledger.report())

    def _restored(
        self, name: str, seed: int, source: InputClip, ledger: Ledger, on_tile: Callable[[], object]
    ) -> Tensor:
        """Rounded to eight bits, as files hold it."""
        upscaler, lr = self.upscalers[seed], source.lr.to(self.device)
        for part in [*self.probes, *([upscaler] if hasattr(upscaler, "clip") else [])]:
            part.clip = name
        with ledger.running(lr):
            return to_unit(to_bytes(upscaler(lr, on_tile, Observers([ledger, *self.probes]))))

    def _truth(self, source: InputClip) -> Tensor | None:
        return None if source.hr is None else source.hr.to(self.device)

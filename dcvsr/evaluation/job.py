"""Evaluation loop: restores, stores and scores each clip with each seed, skipping finished ones."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from dcvsr.attention.observer import Observers
from dcvsr.attention.probe import Probe
from dcvsr.degradation.strength import strength
from dcvsr.diffusion.protocols import Advance, Upscaler
from dcvsr.evaluation.clip_scores import score_clip
from dcvsr.evaluation.inputs import InputClip, Sources
from dcvsr.evaluation.progress import Progress, add_costs
from dcvsr.imaging import to_bytes, to_unit
from dcvsr.metrics.video_metric import VideoMetric
from dcvsr.models.cost import Ledger
from dcvsr.models.sampling_bar import sampling_bar
from dcvsr.runtime.device import require_memory
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.ranks import ALONE, Ranks

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """Evaluation of an upscaler, for one or more seeds, on a set of clips.

    Args:
        upscalers: seed -> upscaler with that seed.
        sources: LR and reference clips.
        metrics: by name.
        keep: called with ``(name, frames f c h w)`` for each result of the first seed.
        probes: observers whose ``clip`` is set to the name of the current clip.
        device: of the computation.
    """

    upscalers: Mapping[int, Upscaler]
    sources: Sources
    metrics: Mapping[str, VideoMetric]
    keep: Callable[[str, Tensor], object]
    probes: Sequence[Probe]
    device: torch.device

    def todo(self, progress: Progress) -> list[tuple[str, int]]:
        """List the pairs of clip and seed without a result."""
        every = [(name, seed) for name in self.sources.clips for seed in self.upscalers]
        return [(name, seed) for name, seed in every if progress.result(name, seed) is None]

    def work(self, name: str, seed: int) -> int:
        """Return the U-Net evaluations of a clip, or its frames if the upscaler has no denoiser."""
        return self.upscalers[seed].work(*self.sources.lr_shape(name))

    def plan(self, progress: Progress) -> str:
        """Describe the remaining work."""
        todo, clips = self.todo(progress), len(self.sources.clips)
        done = clips * len(self.upscalers) - len(todo)
        work = sum(self.work(*task) for task in todo)
        before = f", already done: {done} results" if done else ""
        return f"clips: {clips}, seeds: {len(self.upscalers)}, to do: {work} evaluations or frames{before}"

    def run(self, progress: Progress, ranks: Ranks = ALONE) -> None:
        """Restore and score the remaining clips and add the results to ``progress``.

        Several ranks take one clip each at a time; the leader adds the results of all.

        Raises:
            UserError: if a clip does not fit into memory, or if a result differs from its reference in length
                or size; nothing is cropped.
        """
        first, todo = min(self.upscalers), self.todo(progress)
        for name, seed in todo:
            self._require_memory(name, self.upscalers[seed])
        for part in (part for metric in self.metrics.values() for part in metric.modules()):  # type: ignore[attr-defined]
            if isinstance(part, Metric):
                part.distributed_available_fn = lambda: False  # each rank scores clips of its own
        ledger = Ledger(self.upscalers[first])
        own = todo[ranks.number :: ranks.count]
        with sampling_bar(sum(self.work(*task) for task in own), "evaluate", shown=not ranks.number) as bar:
            for number in range(0, len(todo), ranks.count):
                tasks = todo[number : number + ranks.count]
                found = None
                if ranks.number < len(tasks):
                    name, seed = tasks[ranks.number]
                    bar.rename(name)
                    found = self._result(name, seed, seed == first, ledger, bar.advance)
                results = ranks.exchange((found, ledger.report()))
                if ranks.number == 0:
                    cost = reduce(add_costs, (cost for _, cost in results))
                    for (name, seed), (result, _) in zip(tasks, results, strict=False):
                        progress.add(name, seed, result, cost)

    def _result(
        self, name: str, seed: int, is_kept: bool, ledger: Ledger, advance: Advance
    ) -> dict[str, Any]:
        """Restore and score a clip."""
        source = self.sources.read(name)
        restored = self._restored(name, seed, source, ledger, advance)
        scores, refused = score_clip(name, restored, self._reference(source), self.metrics)
        if is_kept:
            self.keep(name, restored)
        parameters = source.parameters
        return {
            "scores": scores,
            "refused": refused,
            "lr_sha256": source.digest,
            "strength": None if parameters is None else strength(parameters, len(source.lr)),
        }

    def _restored(self, name: str, seed: int, source: InputClip, ledger: Ledger, advance: Advance) -> Tensor:
        """Restore a clip, rounded to eight bits as in a file."""
        upscaler = self.upscalers[seed].for_clip(name, *self.sources.lr_shape(name), self.sources.rate(name))
        lr = source.lr.to(self.device)
        for probe in self.probes:
            probe.clip = name
        with ledger.running([self.sources.lr_shape(name)], self.device):
            return to_unit(to_bytes(upscaler(lr, advance, Observers([ledger, *self.probes]))))

    def _require_memory(self, name: str, upscaler: Upscaler) -> None:
        frames, height, width = self.sources.lr_shape(name)
        try:
            require_memory(lambda n: upscaler.memory(n, height, width), frames, self.device)
        except UserError as error:
            raise UserError(f"{name}: {error}") from None

    def _reference(self, source: InputClip) -> Tensor | None:
        return None if source.hr is None else source.hr.to(self.device)

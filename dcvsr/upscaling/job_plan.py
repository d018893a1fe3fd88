"""Plan of a job: what it takes in evaluations, FLOPs, memory, disk and time."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from dcvsr.models.cost import PARTS
from dcvsr.models.peak_memory import PeakMemory
from dcvsr.models.planned_cost import PlannedCost
from dcvsr.models.shared_plan import SharedPlan, SharedWork
from dcvsr.models.tiled import visits
from dcvsr.models.upscaler import TiledUpscaler
from dcvsr.upscaling.disk_space import stored
from dcvsr.upscaling.reading import ReadVideo

STAGES = "encoding", "sampling", "decoding"


@dataclass(frozen=True)
class Plan:
    """Cost of upscaling a video, before it is done.

    Attributes:
        frames, lr, hr: number of frames; width and height before and after.
        shots: first frame and length of each.
        windows: evaluations of a window in all steps.
        tiles: most tiles of a window.
        evaluations: U-Net evaluations of single tiles.
        flops: by part, as in the report of a run.
        memory: bytes at the peak of each stage, beside the weights.
        weights: bytes of the networks.
        disk: bytes of the job's folder, without the output.
        seconds: of each stage by a probe; None without one.
        shared: what several ranks gain and exchange; None for one.
    """

    frames: int
    lr: tuple[int, int]
    hr: tuple[int, int]
    shots: Sequence[tuple[int, int]]
    windows: int
    tiles: int
    evaluations: int
    flops: Mapping[str, int]
    memory: Mapping[str, int]
    weights: int
    disk: int
    seconds: Mapping[str, float] | None = None
    shared: SharedPlan | None = None

    @classmethod
    def of(
        cls,
        upscaler: TiledUpscaler,
        video: ReadVideo,
        device: torch.device,
        ranks: int = 1,
        save_every: int = 1,
    ) -> "Plan":
        """Plan the upscaling of a video; weights are not read.

        Args:
            upscaler: model and settings.
            video: the LR video.
            device: of each rank.
            ranks: processes that share it.
            save_every: windows between two saves.
        """
        (frames, *lr), hr, (height, width) = video.shape, video.target.hr, video.target.inputs
        sizes = video.sizes
        steps = range(upscaler.sampler.steps)
        rounds = [upscaler.propagation.round(step, len(steps)) for step, _ in upscaler.sampler.evaluations]
        numbers = [step for step, _ in upscaler.sampler.evaluations]
        all_visits = [
            visit
            for size in sizes
            for step, round in zip(numbers, rounds, strict=True)
            for visit in visits(upscaler.windows(*size, step), round)
        ]
        cost = PlannedCost(upscaler).ledger(sizes).report()
        peak, longest = PeakMemory(upscaler, device.type), video.longest
        chunk = min(longest[0], upscaler.latents.autoencoder.chunk)
        return cls(
            frames,
            (lr[1], lr[0]),
            (hr[1], hr[0]),
            [(shot.start, len(shot)) for shot in video.shots],
            len(all_visits),
            max(len(visit.tiles) for visit in all_visits),
            cost["evaluations"],
            cost["flops"],
            {
                "encoding": peak.encoding(height, width),
                "sampling": peak.sampling(*longest),
                "decoding": peak.decoding(chunk, height, width),
            },
            upscaler.weight_bytes,
            stored(upscaler, video),
            shared=SharedWork(upscaler, ranks, save_every).plan(sizes) if ranks > 1 else None,
        )

    def timed(self, seconds: Mapping[str, float]) -> "Plan":
        """Return the plan with the seconds of all work, from those of one frame, evaluation and frame."""
        units = {"encoding": self.frames, "sampling": self.evaluations, "decoding": self.frames}
        return replace(self, seconds={stage: seconds[stage] * units[stage] for stage in STAGES})

    def record(self) -> dict[str, Any]:
        """Return the plan as plain values."""
        return asdict(self)

    def __str__(self) -> str:
        shots = "1 shot" if len(self.shots) == 1 else f"{len(self.shots)} shots"
        sizes = " -> ".join(f"{width}x{height}" for width, height in (self.lr, self.hr))
        flops = ", ".join(f"{part} {self.flops[part] / 1e12:.3g}" for part in PARTS if self.flops[part])
        memory = ", ".join(f"{stage} {self.memory[stage] / 1e9:.2g}" for stage in STAGES)
        lines = [
            f"{self.frames} frames in {shots}, {sizes}",
            f"{self.windows} windows of up to {self.tiles} tiles, {self.evaluations} U-Net evaluations",
            f"{self.flops['total'] / 1e12:.4g} TFLOP: {flops}",
            f"memory: {self.weights / 1e9:.2g} GB of weights, and GB at the peak of {memory}",
            f"disk: {self.disk / 1e9:.2g} GB beside the output, until it is written",
        ]
        if self.shared:
            lines.append(str(self.shared))
        if self.seconds:
            total = sum(self.seconds.values())
            parts = ", ".join(f"{stage} {self.seconds[stage]:.0f}" for stage in STAGES)
            lines.append(f"time: about {total:.0f} s ({parts}), by a probe of this machine as it is now")
        return "\n".join(lines)

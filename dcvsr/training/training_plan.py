"""Plan of a training run: what it takes in memory, disk and hours of GPUs, before it starts."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from dcvsr.training.fake_step import FakeStep, Needs
from dcvsr.training.parameter_groups import gathered_bytes, parameter_groups

Strategy = Literal["whole", "fsdp"]
"""Networks whole on each GPU, as with ``trainer=single`` and ``ddp``; or shared out."""

STRATEGIES: tuple[Strategy, Strategy] = "whole", "fsdp"


@dataclass(frozen=True)
class Batches:
    """Batches of a run.

    Attributes:
        clips: clips of a batch.
        accumulated: batches of a process in an optimizer step.
        processes: GPUs of all nodes.
        steps: optimizer steps of the run.
    """

    clips: int
    accumulated: int
    processes: int
    steps: int

    @property
    def total(self) -> int:
        """Batches that all processes compute in the run."""
        return self.accumulated * self.processes * self.steps

    def __str__(self) -> str:
        clips = self.clips * self.accumulated * self.processes
        gpus = f"{self.processes} GPU{'s' * (self.processes > 1)}"
        return f"{self.steps} steps of {clips} clips, {self.clips} at a time on {gpus}"


@dataclass(frozen=True)
class TrainingPlan:
    """Cost of a training run, before it starts.

    Attributes:
        size: frames, height and width of a clip in HR pixels.
        batches: batches of the run.
        parameters: group -> number of the U-Net's parameters, and of those that are trained.
        memory: bytes on each GPU by part, beside activations.
        activations: bytes of activations, recomputed and kept. Where an encoded batch or the optimizer's step
            takes more, they are those.
        strategy: the one of the run.
        recomputes: the run uses gradient checkpointing.
        checkpoint: bytes of a checkpoint.
        sample: bytes of the latents and embeddings of a clip in float32.
        flops: of the run, by part; those of ``unet`` include the decoder and losses of stage 3.
        rate: FLOP/s that a GPU sustains; None where it is not known.
    """

    size: tuple[int, int, int]
    batches: Batches
    parameters: Mapping[str, tuple[int, int]]
    memory: Mapping[Strategy, Mapping[str, int]]
    activations: Mapping[Strategy, Mapping[str, int]]
    strategy: Strategy
    recomputes: bool
    checkpoint: int
    sample: int
    flops: Mapping[str, int]
    rate: float | None

    @classmethod
    def of(
        cls,
        step: FakeStep,
        batches: Batches,
        strategy: Strategy,
        recomputes: bool,
        averages: bool,
        encodes: bool,
        rate: float | None,
    ) -> "TrainingPlan":
        """Plan a run from one training step.

        Args:
            step: training step of one process.
            batches: batches of the run.
            strategy: of the run.
            recomputes: the run uses gradient checkpointing.
            averages: the run keeps an average of the weights.
            encodes: the run encodes its clips; False if it reads stored latents.
            rate: FLOP/s that a GPU sustains; None where it is not known.
        """
        denoiser, accumulates = step.upscaler.denoiser, batches.accumulated > 1
        weights = sum(p.nbytes for p in step.module.parameters())
        gradients = sum(p.nbytes for p in step.module.parameters() if p.requires_grad)
        state, temporary = step.step()
        encoding = step.encoding() if encodes else Needs(0, 0)
        average = averages * sum(p.nbytes for p in denoiser.parameters())
        parts = {"weights": weights, "gradients": gradients, "optimizer": state, "average": average}
        shares = {part: size // batches.processes for part, size in parts.items()}
        if accumulates:
            shares["gradients"] = gradients  # whole until the last batch of a step
        gathered = gathered_bytes(denoiser.unet, step.dtype)
        activations, unet = dict[Strategy, dict[str, int]](), 0
        for kind in STRATEGIES:
            keeps_buckets = kind == "whole" and batches.processes > 1  # of gradients, by DDP
            has_gradients = accumulates or keeps_buckets
            needs = {way: step.denoising(way, has_gradients, kind == "fsdp") for way in (True, False)}
            most = [max(needs[way].bytes, encoding.bytes, temporary) for way in (True, False)]
            activations[kind] = dict(zip(("recomputed", "kept"), most, strict=True))
            unet = needs[recomputes].flops
        return cls(
            (step.frames, step.crop, step.crop),
            batches,
            parameter_groups(denoiser),
            {
                "whole": {**parts, "encoders": step.frozen_bytes, "gathered": 0},
                "fsdp": {**shares, "encoders": step.frozen_bytes, "gathered": gathered},
            },
            activations,
            strategy,
            recomputes,
            weights + state + average,
            sum(step.sample_bytes.values()),
            {"unet": batches.total * unet, "encoding": batches.total * encoding.flops},
            rate,
        )

    @property
    def gpu_hours(self) -> float | None:
        """Hours of one GPU for the whole run."""
        return None if self.rate is None else sum(self.flops.values()) / self.rate / 3600

    @property
    def totals(self) -> dict[Strategy, dict[str, int]]:
        """Bytes on each GPU by strategy, with recomputed and kept activations."""
        return {
            kind: {way: sum(self.memory[kind].values()) + size for way, size in ways.items()}
            for kind, ways in self.activations.items()
        }

    def record(self) -> dict[str, Any]:
        """Return the plan as plain values."""
        return asdict(self) | {"totals": self.totals, "gpu_hours": self.gpu_hours}

    def __str__(self) -> str:
        frames, height, width = self.size
        total, trained = (sum(counts) for counts in zip(*self.parameters.values(), strict=True))
        groups = ", ".join(f"{name} {_millions(count)}" for name, (count, _) in self.parameters.items())
        hours = ""
        if self.gpu_hours is not None and self.rate is not None:
            each = self.gpu_hours / self.batches.processes
            hours = f", {self.gpu_hours:.4g} GPU-hours at {self.rate / 1e12:g} TFLOP/s: {each:.4g} hours"
        return "\n".join(
            [
                f"{self.batches}, {frames} frames of {width}x{height}",
                f"{_millions(total)} parameters of the U-Net, {_millions(trained)} trained: {groups}",
                *self._table(),
                f"checkpoint: {self.checkpoint / 1e9:.3g} GB; latents of a clip: {self.sample / 1e6:.3g} MB",
                f"{self.flops['unet'] / 1e15:.4g} PFLOP of losses and gradients, "
                f"{self.flops['encoding'] / 1e15:.4g} of encoding in float32{hours}",
            ]
        )

    def _table(self) -> list[str]:
        """Return lines of gigabytes on each GPU; the columns that the run uses have a star."""
        ways: list[tuple[Strategy, str]] = [
            (kind, way) for kind in STRATEGIES for way in ("recomputed", "kept")
        ]
        used = self.strategy, "recomputed" if self.recomputes else "kept"
        rows = {part: [self.memory[kind][part] for kind, _ in ways] for part in self.memory["whole"]}
        rows["activations"] = [self.activations[kind][way] for kind, way in ways]
        rows["total"] = [self.totals[kind][way] for kind, way in ways]
        names = {"whole": "single, ddp", "fsdp": "fsdp"}
        heads = [f"{names[kind]}, {way}{'*' * ((kind, way) == used)}" for kind, way in ways]
        return [
            f"{'GB on each GPU':<16}" + "".join(f"{head:>25}" for head in heads),
            *(f"{part:<16}" + "".join(f"{size / 1e9:>25.2f}" for size in row) for part, row in rows.items()),
        ]


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M"

"""Cost of training, logged to wandb, metrics.csv and cost.json."""

import json
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from typing_extensions import override

from dcvsr.models.cost import flat, measured
from dcvsr.models.flops import Flops
from dcvsr.runtime.files import write_whole


class TrainingCost(pl.Callback):
    """Counter of training clips and of their FLOPs, seconds and memory; validation is excluded.

    A backward pass counts as two forward passes, and as three where gradient checkpointing recomputes
    activations. The count ignores that frozen layers need no weight gradients.

    ``sizes``, ``seconds`` and ``peak_memory`` describe this process; only the hooks of a batch write them.
    Evaluations and FLOPs are reported for all processes together. A resumed run adds to the counts in its
    checkpoint.

    Args:
        folder: folder of ``cost.json``.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.sizes: Counter[tuple[int, int, int]] = Counter()
        self.encodes = True
        self.seconds = 0.0
        self.peak_memory = 0
        self._batch = ExitStack()
        self._measure: dict[str, Any] = {}

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._measure = self._batch.enter_context(measured(pl_module.device))

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._batch.close()
        self.encodes = "hr" in batch
        upscaler: Any = pl_module.upscaler
        factor = 1 if self.encodes else upscaler.latents.autoencoder.factor
        clips, frames, _, height, width = batch["hr" if self.encodes else "y"].shape
        self.sizes[frames, factor * height, factor * width] += clips
        self.seconds += self._measure["seconds"]
        self.peak_memory = max(self.peak_memory, self._measure["peak_memory_bytes"])

    @override
    def state_dict(self) -> dict[str, Any]:
        sizes = [[*size, clips] for size, clips in self.sizes.items()]
        return {"sizes": sizes, "seconds": self.seconds, "peak_memory": self.peak_memory}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.sizes = Counter({(f, h, w): clips for f, h, w, clips in state_dict["sizes"]})
        self.seconds, self.peak_memory = state_dict["seconds"], state_dict["peak_memory"]

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        report = self.report(pl_module, trainer.world_size)
        write_whole(self.folder / "cost.json", json.dumps(report, indent=2))
        for logger in trainer.loggers:
            logger.log_metrics(flat(report, "train/cost"), step=trainer.global_step)

    def report(self, module: Any, processes: int) -> dict[str, Any]:
        """Return the counts as plain values, for ``processes`` that each did as much as this one."""
        flops, upscaler = Flops(module.upscaler), module.upscaler
        scale, recomputed = (
            upscaler.latents.autoencoder.factor,
            upscaler.denoiser.unet.is_gradient_checkpointing,
        )
        parts: Counter[str] = Counter(forward=0, backward=0, upsample=0, vae=0, image_encoder=0)
        for (frames, height, width), clips in self.sizes.items():
            forward = processes * clips * flops.evaluation(frames, height // scale, width // scale)
            parts["forward"] += forward
            parts["backward"] += (3 if recomputed else 2) * forward
            if not self.encodes:  # batches of latents
                continue
            lr_size = height // upscaler.factor, width // upscaler.factor
            parts["upsample"] += processes * clips * frames * flops.upsampling(*lr_size)
            coded = flops.encoding(height, width) + flops.target(height, width)
            parts["vae"] += processes * clips * frames * coded
            pictures = frames if upscaler.image_frames == "each" else 1
            parts["image_encoder"] += processes * clips * pictures * flops.image
        return {
            "evaluations": processes * self.sizes.total(),
            "flops": {**parts, "total": parts.total()},
            "seconds": self.seconds,
            "peak_memory_bytes": self.peak_memory,
        }

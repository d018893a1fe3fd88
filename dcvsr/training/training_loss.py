"""Training loss of each optimizer step, in all and by noise level."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from typing_extensions import override

from dcvsr.runtime.errors import UserError


class TrainingLoss(pl.Callback):
    """Logger of ``train/loss`` and of the loss in bins of ln sigma: ``train/loss_ln_sigma/2_-1_to_0`` etc.

    Each value is a mean over all clips of all processes since the last logged step: those of one optimizer
    step with ``trainer.log_every_n_steps=1``. A bin without a clip gets no value. Stage 3 has no bins: its
    loss has further terms.

    Args:
        edges: increasing values of ln sigma between the bins; the outer bins are open.

    Raises:
        UserError: if ``edges`` do not increase.
    """

    def __init__(self, edges: Sequence[float]) -> None:
        if any(low >= high for low, high in pairwise(edges)):
            raise UserError(
                f"callbacks.loss.edges={[*edges]} do not increase; order them, such as [-1, 0, 1]"
            )
        self.edges = [float(edge) for edge in edges]
        self.names = ["train/loss", *(f"train/loss_ln_sigma/{name}" for name in bin_names(edges))]
        self._sums: Tensor | None = None
        self._steps = 0

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._sums, self._steps = None, trainer.global_step

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if outputs:
            sums = self._summed(outputs, trainer.accumulate_grad_batches, len(batch["number"]))
            self._sums = sums if self._sums is None else self._sums + sums
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        is_logged = trainer.global_step > self._steps and trainer.global_step % every == 0
        self._steps = trainer.global_step
        if not is_logged or self._sums is None:
            return
        losses, clips = trainer.strategy.reduce(self._sums, reduce_op="sum").tolist()
        self._sums = None
        means = {
            name: loss / count for name, loss, count in zip(self.names, losses, clips, strict=True) if count
        }
        pl_module.log("train/loss", means.pop("train/loss"), prog_bar=True, batch_size=1)
        if means:  # Lightning would repeat the last value of a bin that has none
            for logger in trainer.loggers:
                logger.log_metrics(means, step=trainer.global_step - 1)

    def _summed(self, outputs: dict[str, Tensor], batches: int, clips: int) -> Tensor:
        """Return sums of losses and numbers of clips, ``2 1+bins``: of all clips, and by bin."""
        loss = outputs["loss"].float() * batches  # Lightning has divided it
        sums = loss.new_zeros(2, len(self.names))
        sums[:, 0] = torch.stack([loss * clips, loss.new_tensor(clips)])
        if "sigma" in outputs:
            bins = 1 + torch.bucketize(outputs["sigma"].log(), loss.new_tensor(self.edges), right=True)
            losses = outputs["clip_losses"].float()
            sums.index_add_(1, bins, torch.stack([losses, torch.ones_like(losses)]))
        return sums


def bin_names(edges: Sequence[float]) -> list[str]:
    """Name the bins between ``edges`` so that they sort by noise level."""
    texts = [f"{edge:g}" for edge in edges]
    if not texts:
        return ["1_all"]
    ranges = [f"below_{texts[0]}", *map("_to_".join, pairwise(texts)), f"above_{texts[-1]}"]
    digits = len(str(len(ranges)))
    return [f"{number:0{digits}}_{range}" for number, range in enumerate(ranges, 1)]

"""Checkpoints of a run: when they are saved, and which of them are kept."""

from math import isnan, nan
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from typing_extensions import override

from dcvsr.runtime.errors import UserError
from dcvsr.training.checkpoint_files import WholeCheckpoints, keep_as
from dcvsr.training.random_states import States, random_states, restore_random_states

LAST = "last.ckpt"
BEST = "best.ckpt"


class Checkpoints(pl.Callback):
    """Callback that saves a run between two optimizer steps, so that a resumed run equals an unbroken one.

    A checkpoint is saved before the batch that follows a step. By then the step is logged, and validated if
    its validation is due. It holds the random states of all processes. Lightning's own callback saves within
    the step: a run that was killed in the validation that follows would resume without it.

    ``last.ckpt`` is the newest. Callbacks that measure a batch belong after this one.

    Args:
        dirpath: folder of the files.
        every: optimizer steps from one to the next; the end of the run is saved too.
        keep_last: newest checkpoints that are kept; from 2 on each is a ``step000100.ckpt`` as well.
        keep_best: metric of the validation whose best step is saved and kept as ``best.ckpt``; None for none.
    """

    def __init__(self, dirpath: str, every: int, keep_last: int, keep_best: str | None) -> None:
        if every < 1 or keep_last < 1:
            raise ValueError(f"every and keep_last must be at least 1, got {every} and {keep_last}")
        self.folder = Path(dirpath)
        self.every, self.keep_last, self.keep_best = every, keep_last, keep_best
        self.best: float | None = None
        self._saved = 0
        self._is_best = self._is_due = False
        self._states: list[States] | None = None

    @override
    def setup(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        if self.keep_best is not None:
            self._sign(pl_module)  # raises before the run
        if trainer.is_global_zero and self.folder.is_dir():
            for partial in self.folder.glob("*.part"):  # of a run that was killed while it wrote
                partial.unlink()

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        # One that a signal interrupted in a validation is saved again after it.
        self._saved = trainer.global_step - self._is_due

    @override
    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if self._states is not None and len(self._states) == trainer.world_size:
            restore_random_states(self._states, trainer.global_rank)
        self._states = None
        step = trainer.global_step
        if self._is_best or (step > self._saved and step % self.every == 0):
            self.save(trainer)

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if self.keep_best is None or trainer.sanity_checking:
            return
        score = float(trainer.callback_metrics.get(f"val/{self.keep_best}", nan))  # a metric may refuse clips
        sign = self._sign(pl_module)
        if not isnan(score) and (self.best is None or sign * score > sign * self.best):
            self.best, self._is_best = score, True

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if self._is_best or trainer.global_step > self._saved:
            self.save(trainer)

    def save(self, trainer: pl.Trainer) -> None:
        """Save ``last.ckpt`` and the names that it is kept under; all processes call this together."""
        for logger in trainer.loggers:
            logger.save()  # a resumed run continues with the rows before the checkpoint
        step, is_best = trainer.global_step, self._is_best
        self._saved, self._is_best = step, False
        io = trainer.strategy.checkpoint_io
        if trainer.is_global_zero and isinstance(io, WholeCheckpoints):
            io.finish = lambda: self._keep(step, is_best)
        trainer.save_checkpoint(self.folder / LAST, weights_only=False)

    def _keep(self, step: int, is_best: bool) -> None:
        if is_best:
            keep_as(self.folder / LAST, self.folder / BEST)
        if self.keep_last > 1:
            keep_as(self.folder / LAST, self.folder / f"step{step:06d}.ckpt")
            for old in sorted(self.folder.glob("step*.ckpt"))[: -self.keep_last]:
                old.unlink()

    def _sign(self, module: Any) -> int:
        """Return 1 if higher values of the metric are better, else -1."""
        metric = module.metrics.get(self.keep_best)
        better = getattr(metric, "higher_is_better", None)
        if better is None:
            names = [name for name, one in module.metrics.items() if one.higher_is_better is not None]
            raise UserError(
                f"keep_best={self.keep_best} is not a metric of the validation that ranks checkpoints; "
                f"choose {', '.join(names) or 'null'}, or another metrics=..."
            )
        return 1 if better else -1

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"metric": self.keep_best, "best": self.best}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict["metric"] == self.keep_best:
            self.best = state_dict["best"]

    @override
    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint["random_states"] = random_states()
        checkpoint["validation_due"] = bool(trainer.validating)  # a signal interrupts it

    @override
    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        self._states = checkpoint.get("random_states")
        self._is_due = bool(checkpoint.get("validation_due"))

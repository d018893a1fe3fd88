"""The wait for data: measured where it happens, and nothing else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from dcvsr.training.data_wait import DataWait


class Clock:
    """Time that passes where a test says so."""

    now = 0.0

    def advance(self, seconds: float) -> None:
        self.now += seconds

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("dcvsr.training.data_wait.time", clock)
    return clock


class Slow(IterableDataset[dict[str, Tensor]]):
    """Each item takes ``seconds``."""

    def __init__(self, clock: Clock, seconds: float, count: int = 12) -> None:
        self.clock, self.seconds, self.count = clock, seconds, count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for _ in range(self.count):
            self.clock.advance(self.seconds)
            yield {"number": torch.zeros(3)}


class Working(pl.LightningModule):
    """Takes ``step`` seconds a batch, and others for a transfer, a validation and a checkpoint."""

    def __init__(
        self, clock: Clock, step: float, transfer: float = 0, validation: float = 0, saving: float = 0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.clock, self.step = clock, step
        self.transfer, self.validation, self.saving = transfer, validation, saving

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        self.clock.advance(self.transfer if self.trainer.training else 0)
        return batch

    def training_step(self, batch: dict[str, Tensor]) -> Tensor:
        self.clock.advance(self.step)
        return self.weight * batch["number"].mean()

    def validation_step(self, batch: dict[str, Tensor]) -> None:
        self.clock.advance(self.validation)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.clock.advance(self.saving)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0)


def logged(
    folder: Path,
    module: Working,
    reading: float,
    *others: pl.Callback,
    key: str = "train/data_wait",
    **options: Any,
) -> list[float]:
    """Values logged at each step."""
    usual = {"max_epochs": 1, "log_every_n_steps": 1, "num_sanity_val_steps": 0, "limit_val_batches": 0}
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=CSVLogger(folder, name="", version=""),
        callbacks=[DataWait(), *others],
        enable_checkpointing=bool(others),
        enable_progress_bar=False,
        enable_model_summary=False,
        **usual | options,
    )
    training, validation = (
        DataLoader(Slow(module.clock, seconds, count), batch_size=None)
        for seconds, count in ((reading, 12), (0, 1))
    )
    trainer.fit(module, training, validation)
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    column = rows[0].index(key)
    return [float(row[column]) for row in rows[1:] if row[column]]


@pytest.mark.parametrize(("reading", "transfer"), [(6, 0), (0, 6), (3, 3)])
def test_reading_and_transfer_are_waited_for_but_not_for_the_first_batch(
    reading: float, transfer: float, clock: Clock, tmp_path: Path
) -> None:
    waits = logged(tmp_path, Working(clock, 2, transfer), reading)
    assert waits == [0, *[0.75] * 11]


def test_a_step_of_several_batches_is_one_fraction_of_them_all(clock: Clock, tmp_path: Path) -> None:
    waits = logged(tmp_path, Working(clock, 2), 6, accumulate_grad_batches=4)
    assert waits == pytest.approx([18 / 26, 0.75, 0.75])


def test_validation_and_checkpoints_do_not_count_as_wait(clock: Clock, tmp_path: Path) -> None:
    """Each comes after every batch."""
    validated = logged(
        tmp_path / "a", Working(clock, 2, validation=20), 0, limit_val_batches=1, val_check_interval=1
    )
    saving = pl.callbacks.ModelCheckpoint(tmp_path / "b", every_n_train_steps=1)
    saved = logged(tmp_path / "b", Working(clock, 2, saving=20), 0, saving)
    assert validated == saved == [0] * 12


def test_samples_a_second_count_waiting_and_working_but_not_validation(clock: Clock, tmp_path: Path) -> None:
    """Batches of three clips take 2 s and, but for the first, a wait of 6 s; four make a step."""
    paces = logged(
        tmp_path,
        Working(clock, 2, validation=20),
        6,
        key="train/samples_per_second",
        accumulate_grad_batches=4,
        limit_val_batches=1,
    )
    assert paces == pytest.approx([12 / 26, 12 / 32, 12 / 32])

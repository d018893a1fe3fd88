"""The logged loss: means over the clips of an optimizer step, in all and by noise level."""

import csv
import math
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader

from dcvsr.runtime.errors import UserError
from dcvsr.training.training_loss import TrainingLoss, bin_names

EDGES = [-1.0, 0.0, 2.0]
NAMES = ["1_below_-1", "2_-1_to_0", "3_0_to_2", "4_above_2"]


class Told(pl.LightningModule):
    """Its losses are the batch's own, so that nothing depends on training."""

    def __init__(self, by_clip: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.by_clip = by_clip

    def training_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        losses = batch["losses"] + 0 * self.weight
        levels = {"clip_losses": losses, "sigma": batch["ln_sigma"].exp()}
        return {"loss": losses.mean(), **(levels if self.by_clip else {})}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0)


def rows(folder: Path, by_clip: bool, losses: Tensor, ln_sigma: Tensor, **options: Any) -> list[dict]:
    """Rows of metrics.csv of a run with batches of two clips, one for each logged step."""
    clips = [
        {"number": torch.zeros(1), "losses": a, "ln_sigma": b} for a, b in zip(losses, ln_sigma, strict=True)
    ]
    pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=CSVLogger(folder, name="", version=""),
        callbacks=[TrainingLoss(EDGES)],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"log_every_n_steps": 1, **options},
    ).fit(Told(by_clip), DataLoader(clips, batch_size=2))  # type: ignore[arg-type]
    with (folder / "metrics.csv").open() as file:
        steps: dict[str, dict] = {}
        for row in csv.DictReader(file):
            steps.setdefault(row["step"], {}).update({key: value for key, value in row.items() if value})
        return list(steps.values())


@pytest.mark.parametrize(("accumulated", "every"), [(1, 1), (3, 1), (1, 3)])
def test_each_bin_has_the_mean_of_its_clips_since_the_last_logged_step(
    tmp_path: Path, accumulated: int, every: int
) -> None:
    losses, ln_sigma = torch.rand(12), torch.linspace(-2.5, 3, 12)[torch.randperm(12)]
    options = {"accumulate_grad_batches": accumulated, "log_every_n_steps": every}
    found = rows(tmp_path, True, losses, ln_sigma, **options)
    size = 2 * accumulated * every
    steps = zip(losses.split(size), ln_sigma.split(size), strict=True)
    for row, (step_losses, levels) in zip(found, steps, strict=True):
        assert float(row["train/loss"]) == pytest.approx(step_losses.mean().item())
        bins = [sum(level >= edge for edge in EDGES) for level in levels.tolist()]
        for number, name in enumerate(NAMES):
            inside = [loss for loss, at in zip(step_losses.tolist(), bins, strict=True) if at == number]
            logged = row.get(f"train/loss_ln_sigma/{name}")
            if inside:
                assert float(logged or math.nan) == pytest.approx(sum(inside) / len(inside))
            else:
                assert not logged


def test_a_loss_without_levels_has_no_bins(tmp_path: Path) -> None:
    losses = torch.rand(4)
    found = rows(tmp_path, False, losses, torch.zeros(4))
    assert [float(row["train/loss"]) for row in found] == pytest.approx(losses.view(2, 2).mean(1).tolist())
    assert not any("ln_sigma" in name for name in found[0])


def test_bins_sort_by_noise_level() -> None:
    assert bin_names(EDGES) == NAMES
    many = bin_names(range(12))
    assert many == sorted(many)


def test_edges_that_do_not_increase_are_refused() -> None:
    with pytest.raises(UserError, match=r"edges=\[0, 0\] do not increase"):
        TrainingLoss([0, 0])

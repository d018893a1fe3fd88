"""The data module: the same batches whoever reads them, degraded after they have travelled."""

import gc
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from dcvsr.data.clips import packaged
from dcvsr.data.datamodule import VSRDataModule
from dcvsr.data.synthetic import Translation, Wallpaper
from dcvsr.data.video import read_video
from dcvsr.degradation.pipeline import Bicubic
from dcvsr.errors import UserError

CLIPS = {
    "slide": Translation(seed=0, frames=6, height=48, width=64, dx=0.5, dy=0.25),
    "wall": Wallpaper(seed=1, frames=5, height=64, width=48, dx=1, dy=0, period=24),
}


def data(**changes: Any) -> VSRDataModule:
    usual = {"frames": 3, "crop": 32, "batch_size": 2, "steps": 4, "seed": 0, "workers": 0, "training": CLIPS}
    return VSRDataModule(**{"validation": CLIPS, "degradation": Bicubic(factor=4)} | usual | changes)


def batches(workers: int) -> Tensor:
    return torch.stack([batch["hr"] for batch in data(workers=workers).train_dataloader()])


def test_batches_do_not_depend_on_the_number_of_workers() -> None:
    alone = batches(workers=0)
    assert alone.shape == (4, 2, 3, 3, 32, 32)
    assert torch.equal(batches(workers=1), alone)
    assert torch.equal(batches(workers=2), alone)


class Collecting(Translation):
    """Collects garbage as it is read, as any worker may at any time."""

    def read(self, *arguments: Any) -> Tensor:
        gc.collect()
        return super().read(*arguments)


@pytest.mark.timeout(60)
def test_workers_outlive_the_decoders_of_the_process_that_made_them() -> None:
    gc.disable()
    try:
        read_video(packaged("carphone_pristine"))
        clips = {"slide": Collecting(seed=0, frames=6, height=48, width=64, dx=0.5, dy=0.25)}
        assert len(list(data(training=clips, batch_size=1, steps=1, workers=1).train_dataloader())) == 1
    finally:
        gc.enable()


def test_frames_travel_as_bytes_and_are_degraded_on_arrival() -> None:
    module = data()
    batch = next(iter(module.train_dataloader()))
    assert batch["hr"].dtype == torch.uint8
    arrived = module.on_after_batch_transfer(batch, 0)
    torch.testing.assert_close(arrived["hr"] * 255, batch["hr"].float())
    assert torch.equal(arrived["lr"], Bicubic(factor=4)(arrived["hr"]))
    assert arrived["lr"].shape == (2, 3, 3, 8, 8)


class Witness(LightningModule):
    """Learns nothing and remembers the batches that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.trained: list[dict[str, Any]] = []
        self.validated: list[dict[str, Any]] = []

    def training_step(self, batch: dict[str, Any]) -> Tensor:
        self.trained.append(batch)
        return self.weight * batch["lr"].mean()

    def validation_step(self, batch: dict[str, Any]) -> None:
        self.validated.append(batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0)


def test_one_epoch_is_the_whole_run_and_each_clip_one_validation_batch() -> None:
    witness = Witness()
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(witness, datamodule=data())
    assert [tuple(batch["lr"].shape) for batch in witness.trained] == [(2, 3, 3, 8, 8)] * 4
    assert [batch["name"] for batch in witness.validated] == ["slide", "wall"]
    first = witness.validated[0]
    assert first["hr"].shape == (1, 3, 3, 32, 32)
    torch.testing.assert_close(first["hr"][0] * 255, CLIPS["slide"].read(0, 3)[..., 8:40, 16:48].float())


@pytest.mark.parametrize("key", ["frames", "crop", "batch_size", "steps", "workers", "seed"])
def test_a_number_that_is_too_small_is_named(key: str) -> None:
    with pytest.raises(UserError, match=f"{key} must be at least ., got -1"):
        data(**{key: -1})


def test_a_clip_too_small_for_the_crop_is_refused_at_once() -> None:
    with pytest.raises(UserError, match="clip slide is 64x48, 6 frames"):
        data(crop=52)

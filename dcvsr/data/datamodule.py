"""Batches of HR clips and their degraded copies, for training and validation.

Axes: b batch, f frames, c colours, h w pixels.
"""

import gc
from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from dcvsr.data.clips import Clip
from dcvsr.data.crops import CentreCrops, RandomCrops
from dcvsr.data.video import to_unit
from dcvsr.errors import UserError


class VSRDataModule(LightningDataModule):
    """Batches ``{"hr": b f c h w, "lr": b f c h/4 w/4}``, float in [0, 1]; validation adds ``"name"``.

    Frames travel to the device as bytes, a quarter of their size as numbers, and are degraded there.

    Args:
        training: clips to crop at random.
        validation: clips whose middle is shown, one clip a batch.
        frames: frames of a crop.
        crop: height and width of a crop, HR pixels.
        batch_size: crops of a training batch.
        steps: training batches of an epoch: make it the whole run, and its progress bar shows the time left.
        degradation: from HR clips to LR clips, ``b f c h w``.
        seed: with its index, decides a training crop, whatever the number of workers.
        workers: processes that read training clips; 0 reads in this one.

    Raises:
        UserError: if a number is too small, or a clip too small or too short for the crops.
    """

    def __init__(
        self,
        *,
        training: Mapping[str, Clip],
        validation: Mapping[str, Clip],
        frames: int,
        crop: int,
        batch_size: int,
        steps: int,
        degradation: Callable[[Tensor], Tensor],
        seed: int,
        workers: int,
    ) -> None:
        super().__init__()
        for key, value in {"frames": frames, "crop": crop, "batch_size": batch_size, "steps": steps}.items():
            if value < 1:
                raise UserError(f"{key} must be at least 1, got {value}")
        for key, value in {"seed": seed, "workers": workers}.items():
            if value < 0:
                raise UserError(f"{key} must be at least 0, got {value}")
        self._training = RandomCrops(training, frames, crop, batch_size * steps, seed)
        self._validation = CentreCrops(validation, frames, crop)
        self._batch_size, self._workers = batch_size, workers
        self._degradation = degradation

    def train_dataloader(self) -> DataLoader[Any]:
        # PyAV's decoders keep their threads until collected; collected in a forked worker, they wait forever.
        gc.collect()
        return DataLoader(
            self._training,
            batch_size=self._batch_size,
            num_workers=self._workers,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self._validation, batch_size=None)

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        hr = to_unit(batch["hr"])
        return batch | {"hr": hr, "lr": self._degradation(hr)}

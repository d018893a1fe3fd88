"""Batches of HR clips and their degraded copies, for training and validation.

Axes: b batch, f frames, c colours, h w pixels.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler

from dcvsr.data.crops import CentreCrops, Clips, RandomCrops
from dcvsr.data.loader import Batch, DegradingLoader
from dcvsr.data.pairs import require_one_lr
from dcvsr.data.stream import beside, read_here
from dcvsr.degradation.pipeline import Degradation, Given
from dcvsr.degradation.seeds import generator
from dcvsr.imaging import to_unit
from dcvsr.runtime.errors import UserError


class VSRDataModule(LightningDataModule):
    """Batches ``{"hr": b f c h w, "lr": b f c h/4 w/4}``, float in [0, 1]; validation adds ``"name"``.

    Frames travel as bytes, a quarter of their size as numbers, and are degraded on the device, the clips of
    a batch beside the step before it. In training HR is what the degradation calls its target.

    A training sample depends on seed, epoch and its number alone, a validation clip's LR on seed and name:
    not on the number of workers or processes, which share the numbers of an epoch among them.

    ``epoch``: training loaders so far, those of the run that is resumed included; `train_dataloader` counts.

    Args:
        training: clips to crop at random.
        validation: clips whose middle is shown, one clip a batch.
        frames: frames of a crop.
        crop: height and width of a crop, HR pixels.
        batch_size: crops of a training batch of one process.
        steps: training batches of an epoch: make it the whole run, and its progress bar shows the time left.
        degradation: from HR clips to LR clips.
        seed: of crops and of their degradation.
        workers: processes that read training clips; 0 reads in this one.

    Raises:
        UserError: if a number is too small, a clip too small or too short for the crops, the crop no multiple
            of the degradation's factor, or if LR comes from nowhere, or from two sides.
    """

    def __init__(
        self,
        *,
        training: Clips,
        validation: Clips,
        frames: int,
        crop: int,
        batch_size: int,
        steps: int,
        degradation: Degradation,
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
        for name, clip in chain(training.items(), validation.items()):
            require_one_lr(name, clip, degradation)
        if not isinstance(degradation, Given):
            degradation.draw(generator(seed), (frames, 3, crop, crop))  # refuses a crop that it cannot reduce
        self._crops = partial(RandomCrops, training, frames, crop, seed=seed)
        self._crops(count=1, epoch=0)  # refuses clips before the run begins
        self._validation = CentreCrops(validation, frames, crop)
        self._batch_size, self._steps, self._workers = batch_size, steps, workers
        self._degradation, self._seed = degradation, seed
        self.epoch = 0

    def train_dataloader(self) -> DataLoader[Batch]:
        self.epoch += 1
        processes, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        crops = self._crops(count=processes * self._batch_size * self._steps, epoch=self.epoch)
        return DegradingLoader(
            crops,
            degrade=self._work,
            batch_size=self._batch_size,
            # Lightning's own would shuffle: what is a batch of one process would not be one of two.
            sampler=DistributedSampler(crops, processes, rank, shuffle=False) if processes > 1 else None,
            num_workers=self._workers,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> DataLoader[Batch]:
        return DegradingLoader(self._validation, degrade=self._work, batch_size=None)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Waits for LR, or makes it where no loader has begun to."""
        hr = to_unit(batch["hr"])
        if "number" in batch:
            hr = torch.stack([self._degradation.target(clip) for clip in hr])
        return {**batch, "hr": hr, "lr": self._lr(batch)}

    def _lr(self, batch: Batch) -> Tensor:
        match batch.get("lr"):
            case None:
                return torch.stack([work() for work in self._work(batch)])
            case Tensor() as given:
                return to_unit(given)
            case begun:
                return torch.stack([read_here(clip.result()) for clip in begun])

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self.epoch = state_dict["epoch"]

    def _work(self, batch: Batch) -> Sequence[Callable[[], Tensor]]:
        """What makes LR of each clip."""
        if "name" in batch:
            keys = [(batch["name"],)]
        else:
            keys = zip(batch["epoch"].tolist(), batch["number"].tolist(), strict=True)
        return [partial(self._degraded, hr, *key) for hr, key in zip(batch["hr"], keys, strict=True)]

    @torch.no_grad()
    def _degraded(self, hr: Tensor, *key: int | str) -> Tensor:
        device = self.trainer.strategy.root_device if self.trainer else hr.device
        with beside(device, hr):
            clip = to_unit(hr.to(device, non_blocking=True))
            params = self._degradation.draw(generator(self._seed, *key), clip.shape)
            return self._degradation.apply(params, clip)

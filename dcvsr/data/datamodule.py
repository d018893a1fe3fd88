"""Lightning data module: batches of HR clips and their degraded LR, for training and validation.

Axes: b batch, f frames, c colours, h w pixels.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader

from dcvsr.data.crops import CentreCrops, Clips, Draws, RandomCrops, fitted
from dcvsr.data.latent_samples import LatentSamples
from dcvsr.data.latent_set import LatentSet
from dcvsr.data.loader import Batch, DegradingLoader
from dcvsr.data.pairs import require_one_lr
from dcvsr.data.share import Share
from dcvsr.data.stream import on_current_stream, side_stream
from dcvsr.degradation.pipeline import Degradation, Given
from dcvsr.degradation.seeds import generator
from dcvsr.imaging import to_unit
from dcvsr.runtime.errors import UserError


class VSRDataModule(LightningDataModule):
    """Batches ``{"hr": b f c h w, "lr": b f c h/4 w/4}``, float in [0, 1]; validation adds ``"name"``.

    Frames reach the device as bytes, a quarter of the size of floats. The device degrades the clips of a
    batch during the training step of the previous batch. In training, HR is the degradation's target.

    A training sample depends on the seed, the epoch and its number alone, a validation clip's LR on the seed
    and its name. The number of workers or processes does not matter; processes share the samples of an epoch.

    With ``latents`` training batches have these instead, ``{"y", "l", "image"}``, in the types stored.

    A resumed run continues with the next sample: its loader leaves out the samples of the steps before.

    ``epoch`` counts the training loaders so far. ``shift`` is the number of samples that a resumed run had
    seen, beyond those that its steps would see with the present effective batch.

    Args:
        training: clips to crop at random.
        validation: clips to crop at the centre, one clip per batch.
        frames: frames per crop.
        crop: height and width of a crop, HR pixels.
        batch_size: crops per training batch and process.
        steps: training batches per epoch; if that is the whole run, the progress bar shows the time left.
        degradation: makes LR clips from HR clips.
        seed: seed of the crops and their degradation.
        workers: processes that read training clips; 0 reads in the main process.
        latents: latents of degraded crops to train on; None degrades ``training`` on the fly.
        validated: most frames of a validation crop and its largest height and width; a clip that is shorter
            or smaller is cropped less. None for ``frames`` and ``crop``.

    Raises:
        UserError: if a number is too small, if a clip is too small or too short for the crops, if the crop is
            not a multiple of the degradation's factor, or if a clip's LR has no source or two.
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
        latents: LatentSet | None = None,
        validated: tuple[int, int] | None = None,
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
            degradation.draw(generator(seed), (frames, 3, crop, crop))  # raises on a crop of the wrong size
        self._crops = partial(RandomCrops, training, frames, crop, seed=seed)
        self._crops(count=1, epoch=0)  # raises on unusable clips before the run
        self._validation = (
            CentreCrops(validation, frames, crop)
            if validated is None or not validation
            else ConcatDataset(
                CentreCrops({name: clip}, *fitted(clip, *validated))  # type: ignore[arg-type]
                for name, clip in validation.items()
            )
        )
        self._batch_size, self._steps, self._workers = batch_size, steps, workers
        self._degradation, self._seed, self._latents = degradation, seed, latents
        self.epoch, self.shift = 0, 0
        self._seen: int | None = None

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of the next epoch, or of the rest of an epoch that a checkpoint interrupts."""
        self.epoch += 1
        processes, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        samples = self._samples(processes * self._batch_size * self._steps)
        self.shift = 0 if self._seen is None else self._seen - self._done
        self._seen = None
        return DegradingLoader(
            samples,
            degrade=self._work,
            batch_size=self._batch_size,
            sampler=Share(samples, processes, rank, done=self._done, shift=self.shift),
            num_workers=self._workers,
            pin_memory=torch.cuda.is_available(),
        )

    def _samples(self, count: int) -> RandomCrops | LatentSamples:
        if self._latents is None:
            return self._crops(count=count, epoch=self.epoch)
        return LatentSamples(self._latents, count, self._seed, self.epoch)

    def draws(self, crops: Sequence[int], draws: int, device: torch.device) -> DataLoader[Batch]:
        """Return a loader of all draws of some crops of epoch 1, ``batch_size`` crops at a time.

        Args:
            crops: numbers of the crops.
            draws: degradations of each, see `Draws`.
            device: device that degrades.
        """
        items = [crop * draws + draw for crop in crops for draw in range(draws)]
        return DegradingLoader(
            Draws(self._crops(count=max(crops) + 1, epoch=1), draws),
            degrade=partial(self._work, device=device),
            batch_size=self._batch_size * draws,
            sampler=items,
            num_workers=self._workers,
            pin_memory=device.type == "cuda",
        )

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of validation clips."""
        own = torch.Generator()  # a loader would draw a seed for its workers from the global one
        return DegradingLoader(self._validation, degrade=self._work, batch_size=None, generator=own)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Convert HR to floats, and wait for LR; degrade here if the batch comes from another loader.

        Latents are converted to float32.
        """
        if "y" in batch:
            return {name: part.float() if part.is_floating_point() else part for name, part in batch.items()}
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
            case futures:
                return torch.stack([on_current_stream(clip.result()) for clip in futures])

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a checkpoint stores."""
        return {"epoch": self.epoch, "samples": self._done + self.shift}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.epoch, self._seen = state_dict["epoch"], state_dict.get("samples")
        if self._seen is not None:  # older versions have no position, and continue with another epoch
            self.epoch -= 1

    @property
    def _done(self) -> int:
        """Samples that all processes together have seen at the end of the last optimizer step."""
        if self.trainer is None:
            return 0
        batches = self.trainer.global_step * self.trainer.accumulate_grad_batches
        return batches * self._batch_size * self.trainer.world_size

    def _work(self, batch: Batch, device: torch.device | None = None) -> Sequence[Callable[[], Tensor]]:
        """Return one function per clip that computes its LR, ``f c h w``."""
        if "name" in batch:
            keys = [(batch["name"],)]
        else:
            keys = zip(batch["epoch"].tolist(), batch["number"].tolist(), strict=True)
        return [partial(self._degraded, hr, device, *key) for hr, key in zip(batch["hr"], keys, strict=True)]

    @torch.no_grad()
    def _degraded(self, hr: Tensor, device: torch.device | None, *key: int | str) -> Tensor:
        device = device or (self.trainer.strategy.root_device if self.trainer else hr.device)
        with side_stream(device, hr):
            clip = to_unit(hr.to(device, non_blocking=True))
            params = self._degradation.draw(generator(self._seed, *key), clip.shape)
            return self._degradation.apply(params, clip)

"""Validation videos: LR | bicubic | restored | HR, side by side."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import WandbLogger
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from dcvsr.imaging import upsample

WriteVideo = Callable[[Path, Tensor, Fraction], object]
"""``(path, frames f c h w in [0, 1], rate)``."""


class SideBySide(pl.Callback):
    """Callback that writes one video per validation clip under ``folder`` and logs it to wandb.

    Args:
        folder: folder of the videos.
        rate: frames per second.
        write: function that writes a video file.
    """

    def __init__(self, folder: str, rate: int, write: WriteVideo) -> None:
        self.folder = Path(folder)
        self.rate = Fraction(rate)
        self.write = write

    @override
    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        lr, restored, hr = (outputs[key].float().cpu() for key in ("lr", "restored", "hr"))
        pixels = F.interpolate(lr, size=hr.shape[-2:], mode="nearest")
        name = batch["name"]
        path = self.folder / f"{name}-step{trainer.global_step:06d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.write(path, torch.cat([pixels, upsample(lr), restored, hr], dim=-1), self.rate)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_video(f"val/{name}", [str(path)], caption=["LR | bicubic | restored | HR"])

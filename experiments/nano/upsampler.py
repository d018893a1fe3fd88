"""Train I^up of scale=nano: ``python experiments/nano/upsampler.py +experiment=nano_stage1 data.path=CLIPS``.

The same clips, crops and degradation as stage 1; L1 on pixels, AdamW whose learning rate rises and falls.
Writes upsampler.safetensors to the run folder, to be copied to dcvsr/models/nano_upsampler.safetensors.
``+model.upsample.weights=FILE`` goes on from such a file.
"""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from lightning.pytorch.callbacks import TQDMProgressBar
from omegaconf import DictConfig
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR

from dcvsr.data.loader import Batch
from dcvsr.models.upsampler import Upsampler
from dcvsr.runtime.cli import command
from dcvsr.runtime.device import choose, trainer_precision
from dcvsr.runtime.files import write_whole

LEARNING_RATE = 1e-3
"""At its highest."""


class Training(pl.LightningModule):
    """The mean absolute error of I^up, all frames of all clips as one batch."""

    def __init__(self, upsampler: Upsampler, compile: bool) -> None:
        super().__init__()
        self.upsampler = upsampler
        self._upsampled = torch.compile(upsampler.forward) if compile else upsampler.forward

    def training_step(self, batch: Batch, _: int) -> Tensor:
        lr, hr = (batch[name].flatten(0, 1) for name in ("lr", "hr"))
        loss = F.l1_loss(self._upsampled(lr), hr)
        self.log("loss", loss, prog_bar=True, batch_size=len(lr))
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), LEARNING_RATE, fused=True)
        rate = OneCycleLR(optimizer, LEARNING_RATE, self.trainer.max_steps, pct_start=0.05)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rate, "interval": "step"}}


@command("train")
def main(cfg: DictConfig) -> None:
    steps = cfg.trainer.max_steps
    pl.seed_everything(cfg.seed, verbose=False)
    given = {"weights": None, **cfg.model.upsample}  # from scratch, unless weights are named
    upsampler: Upsampler = instantiate(given).train().requires_grad_(True)
    trainer = pl.Trainer(
        max_steps=steps,
        precision=trainer_precision(cfg.trainer.precision, choose("auto")),
        limit_val_batches=0,
        callbacks=[TQDMProgressBar()],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    datamodule = instantiate(cfg.datamodule, _convert_="all")(steps=steps)
    trainer.fit(Training(upsampler, cfg.module.compile), datamodule=datamodule)
    half = {name: tensor.half().contiguous() for name, tensor in upsampler.state_dict().items()}
    about = {"steps": str(steps), "seed": str(cfg.seed), "data": cfg.data.name}
    folder = Path(HydraConfig.get().runtime.output_dir)
    write_whole(folder / "upsampler.safetensors", save(half, metadata=about))


if __name__ == "__main__":
    main()

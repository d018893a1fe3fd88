"""Stage 2: the temporal layers stay as stage 1 left them."""

import logging
from collections.abc import Sequence

import lightning.pytorch as pl

log = logging.getLogger(__name__)


class FreezeTemporalLayers(pl.Callback):
    """Freeze every U-Net parameter that lies in a module of one of the ``groups`` (appendix A).

    The paper leaves the exact set open; we freeze the whole temporal path (spec A24).
    It acts before the optimizer is made: AdamW would move frozen weights by decay and momentum.

    Args:
        groups: module names, such as ``temporal_res_block``.
    """

    def __init__(self, groups: Sequence[str]) -> None:
        self.groups = tuple(groups)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        for group in self.groups:
            inside = [p for name, p in pl_module.named_parameters() if group in name.split(".")]
            if not inside:
                raise ValueError(f"no parameter lies in a module named {group!r}")
            for parameter in inside:
                parameter.requires_grad_(False)
        frozen = sum(p.numel() for p in pl_module.parameters() if not p.requires_grad)
        total = sum(p.numel() for p in pl_module.parameters())
        log.info(f"frozen: {frozen / 1e6:.1f} of {total / 1e6:.1f} M parameters ({', '.join(self.groups)})")

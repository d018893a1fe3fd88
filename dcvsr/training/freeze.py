"""Freezing of the temporal layers in stage 2."""

import logging
from collections.abc import Sequence

import lightning.pytorch as pl
from torch import nn
from typing_extensions import override

log = logging.getLogger(__name__)


class FreezeTemporalLayers(pl.Callback):
    """Callback that freezes every U-Net parameter inside a module named in ``groups`` (appendix A).

    The paper leaves the exact set open; the default freezes the whole temporal path (spec A24).
    Freezing happens before the optimizer is created: AdamW would move frozen weights by decay and momentum.

    Args:
        groups: module names, such as ``temporal_res_block``.
    """

    def __init__(self, groups: Sequence[str]) -> None:
        self.groups = tuple(groups)

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        frozen = self.freeze(pl_module)
        total = sum(p.numel() for p in pl_module.parameters())
        log.info(f"frozen: {frozen / 1e6:.1f} of {total / 1e6:.1f} M parameters ({', '.join(self.groups)})")

    def freeze(self, module: nn.Module) -> int:
        """Freeze the groups and return their number of parameters."""
        frozen: dict[str, nn.Parameter] = {}
        for group in self.groups:
            inside = {name: p for name, p in module.named_parameters() if group in name.split(".")}
            if not inside:
                raise ValueError(f"no parameter lies in a module named {group!r}")
            frozen |= inside
        for parameter in frozen.values():
            parameter.requires_grad_(False)
        return sum(p.numel() for p in frozen.values())

"""Videos that several ranks upscale together: rank 0 reads and writes, the others compute their parts."""

import logging
from collections.abc import Mapping
from typing import Any

import torch
from omegaconf import DictConfig

from dcvsr.diffusion.protocols import Upscaler
from dcvsr.models.configured import configured_upscaler
from dcvsr.models.cost import Ledger
from dcvsr.models.upscaler import TiledUpscaler
from dcvsr.models.upscaling_helper import help_with_clips
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.ranks import Ranks
from dcvsr.upscaling.fitting import with_settings
from dcvsr.upscaling.target_size import to_target


def shareable_upscaler(cfg: DictConfig, ranks: Ranks) -> tuple[Upscaler, torch.device]:
    """Return the configured upscaler and its device.

    Raises:
        UserError: if several ranks cannot share its work.
    """
    upscaler, device = configured_upscaler(cfg)
    if ranks.count > 1 and not isinstance(upscaler, TiledUpscaler):
        raise UserError(f"{ranks.count} processes can only share upscaler=dcvsr; start one without torchrun")
    if ranks.count > 1 and cfg.upscaler.batch is None and cfg.engine.memory is None:
        raise UserError(
            f"upscaler.batch=null computes all tiles at once, and {ranks.count} processes share them; "
            "give a number, such as upscaler.batch=1"
        )
    if ranks.count > 1 and cfg.debug.attention:
        raise UserError("debug.attention=true records what one process computes; start it without torchrun")
    return upscaler, device


def help_with_videos(cfg: DictConfig, ranks: Ranks) -> None:
    """Help the leader with its videos until there are no more."""
    logging.getLogger().setLevel(logging.ERROR)  # the leader says it all
    configured, device = configured_upscaler(cfg)
    while video := ranks.told():
        whole, lr, settings = video
        upscaler, _ = to_target(configured, whole, lr, cfg.size, cfg.height, cfg.factor)
        assert isinstance(upscaler, TiledUpscaler)
        upscaler = with_settings(upscaler, settings)
        upscaler.to(device)
        ledger = Ledger(upscaler)
        before = ranks.received
        help_with_clips(upscaler, device, ranks, ledger)
        ranks.send((ledger.counts(), ranks.received - before), 0)


def gathered_counts(ranks: Ranks) -> tuple[list[tuple[Mapping[Any, int], ...]], int]:
    """End the video for all ranks; return the counts of the others and the bytes that all received."""
    ranks.tell(None)
    found = [ranks.receive(rank) for rank in ranks.others]
    return [counts for counts, _ in found], ranks.received + sum(received for _, received in found)

"""An upscaler and its device, as a configuration describes them."""

import logging

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from dcvsr.diffusion.protocols import Upscaler
from dcvsr.diffusion.sampler import Sampler
from dcvsr.models.checkpoint import Checkpoint
from dcvsr.models.upscaler import TiledUpscaler
from dcvsr.runtime.device import choose, settled_precision

log = logging.getLogger(__name__)


def configured_upscaler(cfg: DictConfig) -> tuple[Upscaler, torch.device]:
    """Instantiate ``cfg.upscaler`` on the CPU, and choose the device that it is meant for.

    ``precision=auto`` becomes the precision of that device, in ``cfg`` too. Warns of a checkpoint that was
    trained for another sampler.

    Raises:
        UserError: if ``cfg.device`` is not available.
    """
    device = choose(cfg.device)
    cfg.precision = settled_precision(cfg.precision, device)
    upscaler = instantiate(cfg.upscaler)
    if isinstance(upscaler, TiledUpscaler) and isinstance(upscaler.origin, Checkpoint):
        _warn_of_another_sampler(upscaler.origin, upscaler.sampler)
    return upscaler, device


def _warn_of_another_sampler(origin: Checkpoint, sampler: Sampler) -> None:
    if origin.sampler and (mismatch := sampler.mismatch(origin.sampler)):
        log.warning(f"{origin.path} {mismatch}")

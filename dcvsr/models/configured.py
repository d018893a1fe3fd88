"""An upscaler and its device, as a configuration describes them."""

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from dcvsr.diffusion.protocols import Upscaler
from dcvsr.runtime.device import choose, settled_precision


def configured_upscaler(cfg: DictConfig) -> tuple[Upscaler, torch.device]:
    """Instantiate ``cfg.upscaler`` on the CPU, and choose the device that it is meant for.

    ``precision=auto`` becomes the precision of that device, in ``cfg`` too.

    Raises:
        UserError: if ``cfg.device`` is not available.
    """
    device = choose(cfg.device)
    cfg.precision = settled_precision(cfg.precision, device)
    return instantiate(cfg.upscaler), device

"""RealBasicVSR (Chan et al. 2022), built from parts of basicsr, which does not include it.

Axes: video ``b f c h w`` in [0, 1].
"""

import re
from typing import Any

import torch
from torch import Tensor, nn

from dcvsr.runtime import basicsr

ROUNDS = 3  # maximum number of cleaning passes (Sec. 3.2 of its paper)

NAMES = {
    r"(\.basic_module\.\d+\.basic_module)\.(\d)\.conv\.": lambda m: f"{m[1]}.{2 * int(m[2])}.",
    r"(back|for)ward_resblocks\.": lambda m: f"{m[1]}ward_trunk.",
    r"upsample(\d)\.upsample_conv\.": lambda m: f"upconv{m[1]}.",
}
"""Patterns of OpenMMLab's parameter names, with basicsr's names: SpyNet, both branches, the upsampling."""


class RealBasicVSR(nn.Module):
    """An image cleaning module of residual blocks, then BasicVSR; loads OpenMMLab's files.

    Args:
        features: channels of all hidden layers.
        cleaning_blocks, blocks: residual blocks of the cleaning module and of each direction of BasicVSR.
        threshold: frames are cleaned again while their mean change is at least this, in levels of 255.

    Raises:
        UserError: if basicsr is not installed.
    """

    def __init__(self, features: int, cleaning_blocks: int, blocks: int, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold / 255
        self.image_cleaning = nn.Sequential(
            basicsr.ConvResidualBlocks(3, features, cleaning_blocks), nn.Conv2d(features, 3, 3, padding=1)
        )
        self.basicvsr = basicsr.BasicVSR(features, blocks)
        self.register_load_state_dict_pre_hook(_rename)

    def forward(self, lr: Tensor) -> Tensor:
        """Upscale ``b f c h w`` to ``b f c 4h 4w``."""
        for _ in range(ROUNDS):
            residues = torch.stack([self.image_cleaning(frames) for frames in lr.unbind(1)], dim=1)
            lr = lr + residues
            if residues.abs().mean() < self.threshold:
                break
        return self.basicvsr(lr)


def _rename(module: nn.Module, state: dict[str, Any], *_: object) -> None:
    for name in list(state):
        new = name
        for theirs, ours in NAMES.items():
            new = re.sub(theirs, ours, new)
        state[new] = state.pop(name)

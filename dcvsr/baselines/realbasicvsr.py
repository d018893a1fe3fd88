"""RealBasicVSR (Chan et al. 2022), composed of basicsr's parts, which lacks it.

Axes: video ``b f c h w`` in [0, 1].
"""

import re
from typing import Any

import torch
from torch import Tensor, nn

from dcvsr.runtime import basicsr

ROUNDS = 3  # of cleaning, at most (its Sec. 3.2)

NAMES = {
    r"(\.basic_module\.\d+\.basic_module)\.(\d)\.conv\.": lambda m: f"{m[1]}.{2 * int(m[2])}.",
    r"(back|for)ward_resblocks\.": lambda m: f"{m[1]}ward_trunk.",
    r"upsample(\d)\.upsample_conv\.": lambda m: f"upconv{m[1]}.",
}
"""Names in OpenMMLab's files that are not basicsr's: SpyNet's convolutions, the branches, the upsampling."""


class RealBasicVSR(nn.Module):
    """An image cleaning module of residual blocks before BasicVSR; OpenMMLab's files can be loaded into it.

    Args:
        features: channels of all hidden layers.
        cleaning_blocks, blocks: residual blocks of the cleaning, and of each direction of BasicVSR.
        threshold: frames are cleaned again while the mean change is at least this, of 255.

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
        """``b f c h w`` -> ``b f c 4h 4w``."""
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

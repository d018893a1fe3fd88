"""Upsampler of scale=nano: bicubic upsampling plus the residual predicted by a small network.

Axes: video ``f c h w`` in [0, 1].
"""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from dcvsr.imaging import FACTOR, upsample
from dcvsr.runtime.errors import UserError

SHIPPED = Path(__file__).parent / "nano_upsampler.safetensors"
"""Shipped weights, in half precision."""


class Upsampler(nn.Module):
    """Predictor of the per-pixel median of the HR frame (L1 training), one frame at a time (ours).

    Residual blocks on the LR grid without normalisation, as in EDSR (Lim et al. 2017). With ``last`` at zero,
    as initialised, the output is bicubic upsampling.

    Args:
        channels: width of the blocks.
        blocks: number of blocks of two 3x3 convolutions.
    """

    factor = FACTOR

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, channels, 3, padding=1)
        self.blocks = nn.ModuleList(_Block(channels) for _ in range(blocks))
        self.last = nn.Conv2d(channels, 3 * self.factor**2, 3, padding=1)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, lr: Tensor) -> Tensor:
        """Compute I^up ``f c 4h 4w`` from LR, clamped to [0, 1]."""
        features = self.first(lr - 0.5)
        for block in self.blocks:
            features = block(features)
        detail = F.pixel_shuffle(self.last(features), self.factor)
        return (upsample(lr, self.factor) + detail).clamp(0, 1)


class _Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.second(F.relu(self.first(features)))


def frozen(channels: int, blocks: int, weights: str | Path | None = SHIPPED) -> Upsampler:
    """Return a frozen upsampler; ``weights`` is a safetensors file, None for initial weights.

    Raises:
        UserError: if the file cannot be read, or holds an upsampler of another size.
    """
    upsampler = Upsampler(channels, blocks)
    if weights is not None:
        try:
            upsampler.load_state_dict({name: tensor.float() for name, tensor in load_file(weights).items()})
        except (OSError, SafetensorError, RuntimeError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise UserError(
                f"{weights} does not hold an upsampler of channels={channels}, blocks={blocks}: {reason}"
            ) from error
    return upsampler.requires_grad_(False).eval()

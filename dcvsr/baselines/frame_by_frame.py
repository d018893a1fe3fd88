"""Image restorers that upscale each frame of a video independently.

Axes: video ``f c h w`` in [0, 1].
"""

import torch
from torch import Tensor, nn

from dcvsr.attention.observer import NOBODY, Observer
from dcvsr.baselines.pretrained import pretrained
from dcvsr.diffusion.protocols import Advance, Upscaler, ignored
from dcvsr.tiling.padding import padded


class ImageRestorer(Upscaler):
    """Real-ESRGAN (Wang et al. 2021) or SwinIR (Liang et al. 2021) as an upscaler.

    Args:
        network: ``b c h w`` -> ``b c (factor h) (factor w)``, in [0, 1].
        weights: as in `pretrained`.
        multiple: sides in pixels must be multiples of it; frames are padded by reflection and cropped again.
        factor: upsampling factor of the network.
        floats: peak number of floats in the network's memory per pixel of the result.

    Raises:
        UserError: as `pretrained`.
    """

    seed = None

    def __init__(
        self, network: nn.Module, weights: str | None, multiple: int, factor: int, floats: int
    ) -> None:
        self.network, self.multiple, self.factor, self.floats = network, multiple, factor, floats
        self.origin = pretrained(network, weights)

    def to(self, device: torch.device) -> None:
        """Move the network to ``device``."""
        self.network.to(device)

    def memory(self, frames: int, height: int, width: int) -> int:
        """Return the bytes of the result and of one frame in the network."""
        return 4 * (3 * frames + self.floats) * height * width * self.factor**2

    def work(self, frames: int, height: int, width: int) -> int:
        """Return the number of frames."""
        return frames

    @torch.inference_mode()
    def __call__(self, lr: Tensor, advance: Advance = ignored, observer: Observer = NOBODY) -> Tensor:
        """Upscale LR ``f c h w`` to ``f c (factor h) (factor w)``, clamped; ``observer`` is ignored."""
        frames, channels, height, width = lr.shape
        hr = lr.new_empty(frames, channels, height * self.factor, width * self.factor)
        rows, columns = (-(-side // self.multiple) * self.multiple for side in (height, width))
        with torch.autocast(lr.device.type, enabled=False):
            for i, frame in enumerate(lr.split(1)):
                restored = self.network(padded(frame, 1, rows, columns))[0]
                hr[i] = restored[:, : hr.shape[2], : hr.shape[3]].clamp_(0, 1)
                advance(1)
        return hr

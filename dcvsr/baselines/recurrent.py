"""Recurrent restorers: what a frame shows is carried to all others, backward and forward through the clip.

Axes: video ``f c h w`` in [0, 1].
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dcvsr.attention.observer import Observer
from dcvsr.baselines.pretrained import pretrained
from dcvsr.imaging import FACTOR
from dcvsr.tiling.padding import padded

SMALLEST = 33  # pixels a side: of fewer, the six levels of SpyNet's pyramid leave nothing; such are reflected


class RecurrentRestorer:
    """BasicVSR (Chan et al. 2021), RealBasicVSR (Chan et al. 2022); ``models.upscaler.Upscaler``'s protocol.

    The whole clip is one sequence, whatever cuts it has. Optical flow is made for a pair of frames at a time:
    basicsr makes it of all at once, which at 64 features a pixel would be most of the memory.

    Args:
        network: ``b f c h w`` -> ``b f c 4h 4w``; among its modules are ``spynet``, and ``conv_last``, which
            runs once a frame.
        weights: as in `pretrained`.

    Raises:
        UserError: as `pretrained`.
    """

    factor = FACTOR

    def __init__(self, network: nn.Module, weights: str | None) -> None:
        self.network = network
        self.origin = pretrained(network, weights)
        modules = dict(network.named_modules())
        for name in [name for name in modules if name.rpartition(".")[2] == "spynet"]:
            network.set_submodule(name, _PairByPair(modules[name]))
        (self._last,) = (modules[name] for name in modules if name.rpartition(".")[2] == "conv_last")

    def to(self, device: torch.device) -> None:
        """Move the network to ``device``."""
        self.network.to(device)

    def memory(self, frames: int, height: int, width: int) -> int:
        """Bytes of a clip on its way: its results, twice; flows both ways; a frame, six times 64 features.

        Features that went backward wait, 64 a pixel, and each gives way to its frame's result.
        """
        per_frame = 2 * 3 * self.factor**2 + 2 * 2 + 3
        return 4 * (per_frame * frames + 6 * 64 * self.factor**2) * height * width

    def work(self, frames: int, height: int, width: int) -> int:
        """One piece of work a frame, done when its result is."""
        return frames

    @torch.inference_mode()
    def __call__(
        self, lr: Tensor, on_tile: Callable[[], object] = lambda: None, observer: Observer | None = None
    ) -> Tensor:
        """LR ``f c h w`` -> ``f c 4h 4w``, clamped; there is nothing to observe."""
        _, _, height, width = lr.shape
        large = padded(lr, len(lr), *(max(side, SMALLEST) for side in (height, width)))
        watch = self._last.register_forward_hook(lambda *_: on_tile() and None)
        try:
            with torch.autocast(lr.device.type, enabled=False):
                hr = self.network(large[None])[0].clamp_(0, 1)
        finally:
            watch.remove()
        return hr[..., : height * self.factor, : width * self.factor]


class _PairByPair(nn.Module):
    def __init__(self, flow: nn.Module) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Two batches ``b c h w`` -> flow ``b 2 h w``."""
        flow = first.new_empty(len(first), 2, *first.shape[-2:])
        for i in range(len(first)):
            flow[i] = self.flow(first[i : i + 1], second[i : i + 1])[0]
        return flow

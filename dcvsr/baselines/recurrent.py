"""Recurrent video restorers, which propagate features backward and forward through the clip.

Axes: video ``f c h w`` in [0, 1].
"""

import torch
from torch import Tensor, nn

from dcvsr.attention.observer import NOBODY, Observer
from dcvsr.baselines.pretrained import pretrained
from dcvsr.diffusion.protocols import Advance, Upscaler, ignored
from dcvsr.imaging import FACTOR
from dcvsr.tiling.padding import padded

SMALLEST = (
    33  # shortest side in pixels for SpyNet's six pyramid levels; shorter sides are padded by reflection
)


class RecurrentRestorer(Upscaler):
    """BasicVSR (Chan et al. 2021) or RealBasicVSR (Chan et al. 2022) as an upscaler.

    The whole clip is one sequence, including any cuts.
    Optical flow is computed for one pair of frames at a time. basicsr computes it for all pairs at once,
    which would take most of the memory: 64 features per pixel.

    Args:
        network: ``b f c h w`` -> ``b f c 4h 4w``; contains the modules ``spynet``, and ``conv_last``, which
            runs once per frame.
        weights: as in `pretrained`.

    Raises:
        UserError: as `pretrained`.
    """

    factor = FACTOR
    seed = None

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
        """Estimate the peak bytes for a clip.

        Per frame: the result twice, the flows in both directions and LR. Once: six times 64 features of an
        upsampled frame. The backward features, 64 per LR pixel, are freed as results replace them.
        """
        per_frame = 2 * 3 * self.factor**2 + 2 * 2 + 3
        return 4 * (per_frame * frames + 6 * 64 * self.factor**2) * height * width

    def work(self, frames: int, height: int, width: int) -> int:
        """Return the number of frames."""
        return frames

    @torch.inference_mode()
    def __call__(self, lr: Tensor, advance: Advance = ignored, observer: Observer = NOBODY) -> Tensor:
        """Upscale LR ``f c h w`` to ``f c 4h 4w``, clamped; ``observer`` is ignored."""
        _, _, height, width = lr.shape
        large = padded(lr, len(lr), *(max(side, SMALLEST) for side in (height, width)))
        hook = self._last.register_forward_hook(lambda *_: advance(1) and None)
        try:
            with torch.autocast(lr.device.type, enabled=False):
                hr = self.network(large[None])[0].clamp_(0, 1)
        finally:
            hook.remove()
        return hr[..., : height * self.factor, : width * self.factor]


class _PairByPair(nn.Module):
    """Flow estimator that processes one pair of a batch at a time, to save memory."""

    def __init__(self, flow: nn.Module) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Estimate the flow ``b 2 h w`` between two batches ``b c h w``."""
        flow = first.new_empty(len(first), 2, *first.shape[-2:])
        for i in range(len(first)):
            flow[i] = self.flow(first[i : i + 1], second[i : i + 1])[0]
        return flow

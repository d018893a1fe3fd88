"""LPIPS and DISTS: torchmetrics' networks on backbones from `dcvsr.weights`.

torchmetrics bundles the layers that the two metrics trained, but would download the backbones.
"""

from types import SimpleNamespace
from typing import Literal
from unittest.mock import patch

import torch
from torch import Tensor
from torchmetrics.functional.image import dists, lpips
from torchvision.models.vgg import cfgs, make_layers

from dcvsr import weights
from dcvsr.metrics.framewise import Framewise


class LPIPS(Framewise):
    """LPIPS v0.1 on AlexNet (Zhang et al. 2018) at full size, averaged over frames.

    Raises:
        UserError: if AlexNet's weights cannot be found.
    """

    higher_is_better = False
    smallest = 31  # AlexNet's two poolings need this many pixels
    net: Literal["alex", "vgg"] = "alex"
    backbone = "alexnet"

    def __init__(self) -> None:
        super().__init__()
        backbone = weights.features(self.backbone)
        with torch.random.fork_rng(devices=[]):
            self.network = lpips._NoTrainLpips(net=self.net, pnet_rand=True)
        layers = self.network.net
        layers.load_state_dict(
            {key: backbone[f"features.{key.split('.', 1)[1]}"] for key in layers.state_dict()}
        )

    def score(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Compute the LPIPS of a frame."""
        return self.network(restored, reference, normalize=True)


class LPIPSVGG(LPIPS):
    """LPIPS v0.1 on VGG16.

    Raises:
        UserError: if VGG16's weights cannot be found.
    """

    smallest = 16  # VGG16's four poolings need this many pixels
    net = "vgg"
    backbone = "vgg16"


class DISTS(Framewise):
    """Deep image structure and texture similarity (Ding et al. 2020) at full size, averaged over frames.

    Raises:
        UserError: if VGG16's weights cannot be found.
    """

    higher_is_better = False

    def __init__(self) -> None:
        super().__init__()
        backbone = weights.features("vgg16")
        with torch.random.fork_rng(devices=[]):
            vgg16 = make_layers(cfgs["D"], batch_norm=False)
            vgg16.load_state_dict({key.removeprefix("features."): value for key, value in backbone.items()})
            # DISTSNetwork has no argument for its backbone: it calls this module's name vgg16.
            with patch.object(dists, "vgg16", lambda **_: SimpleNamespace(features=vgg16)):
                self.network = dists.DISTSNetwork().requires_grad_(False)

    def score(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Compute the DISTS of a frame."""
        return self.network(restored, reference)

"""DOVER (Wu et al. 2023): how good a clip looks by itself, technically and aesthetically.

Tables report different readings of its two scores under the one name; all of them are here, each named.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from dcvsr.metrics.convnext3d import ConvNeXt3D
from dcvsr.metrics.dover_views import aesthetic_view, technical_view
from dcvsr.metrics.swin3d import Swin3D
from dcvsr.runtime.errors import UserError
from dcvsr.weights.search import not_found, search_folders

WEIGHTS = "DOVER.pth"
RELEASE = f"https://github.com/VQAssessment/DOVER/releases/download/v0.1.0/{WEIGHTS}"

MEAN_T, STD_T, WEIGHT_T = 0.1107, 0.07355, 0.6104
MEAN_A, STD_A, WEIGHT_A = -0.08285, 0.03774, 0.3896


class DOVER(Metric):
    """The overall score in percent, as evaluate_a_set_of_videos.py prints it; the mean over clips.

    Needs no reference. A clip's views are sampled by ``seed`` alone: whatever the device, and whichever clips
    were scored before. Of fewer than 32 frames the aesthetic view has the first alone, as with the authors.

    Raises:
        UserError: if DOVER.pth is not found, or is not the official one.
    """

    higher_is_better = True
    needs_reference = False
    full_state_update = False
    technical: list[Tensor]
    aesthetic: list[Tensor]

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed
        path = _find()
        with torch.random.fork_rng(devices=[]):
            self.network = Network().requires_grad_(False).eval()
        _load(self.network, path)
        self.add_state("technical", [], dist_reduce_fx="cat")
        self.add_state("aesthetic", [], dist_reduce_fx="cat")

    @torch.no_grad()
    def update(self, restored: Tensor, reference: Tensor | None = None) -> None:
        """Score a whole clip, ``f c h w`` in [0, 1], rounded to eight bits; ``reference`` is not looked at.

        Raises:
            UserError: if a frame is smaller than 32x32.
        """
        generator = torch.Generator().manual_seed(self.seed)
        technical, aesthetic = (view(restored, generator) for view in (technical_view, aesthetic_view))
        maps = self.network({"technical": technical, "aesthetic": aesthetic})
        self.technical.append(maps["technical"].mean().reshape(1))
        self.aesthetic.append(maps["aesthetic"].mean().reshape(1))

    def compute(self) -> Tensor:
        """The mean over clips of the reading ``overall``, a scalar in percent."""
        return self.readings()["overall"]

    def readings(self) -> dict[str, Tensor]:
        """The mean over clips of each of `readings`, scalars; the network is not run again."""
        scores = readings(dim_zero_cat(self.technical), dim_zero_cat(self.aesthetic))
        return {name: score.mean() for name, score in scores.items()}


class Network(nn.Module):
    """The official network, under its names: all that DOVER.pth holds, and nothing more."""

    def __init__(self) -> None:
        super().__init__()
        self.technical_backbone, self.technical_head = Swin3D(), Head()
        self.aesthetic_backbone, self.aesthetic_head = ConvNeXt3D(), Head()

    def forward(self, views: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """``technical`` and ``aesthetic``, each ``b c t h w`` -> ``b 1 t/2 h/32 w/32``: scores by place."""
        return {
            "technical": self.technical_head(self.technical_backbone(views["technical"])),
            "aesthetic": self.aesthetic_head(self.aesthetic_backbone(views["aesthetic"])),
        }


class Head(nn.Module):
    """A score at each place: ``b 768 t h w`` -> ``b 1 t h w``; its dropout, idle in scoring, is left out."""

    def __init__(self) -> None:
        super().__init__()
        self.fc_hid, self.fc_last = nn.Conv3d(768, 64, 1), nn.Conv3d(64, 1, 1)

    def forward(self, features: Tensor) -> Tensor:
        return self.fc_last(F.gelu(self.fc_hid(features)))


def readings(technical: Tensor, aesthetic: Tensor) -> dict[str, Tensor]:
    """What has been published as DOVER of a clip with these two scores: percent, but for the raw two.

    ``overall``: both scripts of the authors since August 2023.
    ``technical``, ``aesthetic``: one standardised score alone; SeedVR and SeedVR2 report the former.
    ``swapped``: the two scores taken for each other.
    ``sign_flipped``: the aesthetic mean with its sign lost, as in evaluate_one_video.py before.
    ``swapped_sign_flipped``: both, as in evaluate_a_set_of_videos.py before.
    ``technical_raw``, ``aesthetic_raw``: the means of the network's maps.
    """
    return {
        "overall": fuse(technical, aesthetic, MEAN_A),
        "technical": 100 * torch.sigmoid((technical - MEAN_T) / STD_T),
        "aesthetic": 100 * torch.sigmoid((aesthetic - MEAN_A) / STD_A),
        "swapped": fuse(aesthetic, technical, MEAN_A),
        "sign_flipped": fuse(technical, aesthetic, -MEAN_A),
        "swapped_sign_flipped": fuse(aesthetic, technical, -MEAN_A),
        "technical_raw": technical,
        "aesthetic_raw": aesthetic,
    }


def fuse(technical: Tensor, aesthetic: Tensor, mean_a: float) -> Tensor:
    """evaluate_a_set_of_videos.py: the two scores, standardised on KoNViD-1k, weighted; in percent."""
    t, a = (technical - MEAN_T) / STD_T, (aesthetic - mean_a) / STD_A
    return 100 * torch.sigmoid(WEIGHT_T * t + WEIGHT_A * a)


def _find() -> Path:
    for folder in search_folders():
        if (folder / WEIGHTS).is_file():
            return folder / WEIGHTS
    raise UserError(f"{not_found(WEIGHTS)}; download {RELEASE} into one of them")


def _load(network: Network, path: Path) -> None:
    """The authors publish no digest: that every name and shape is right is all that can be verified."""
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch.load alone raises half a dozen kinds
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is not the official {WEIGHTS} ({reason}); download {RELEASE}") from error

"""DOVER (Wu et al. 2023): no-reference technical and aesthetic quality of clips.

Published tables combine its two scores in different ways under one name; `readings` names each of them.
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
from dcvsr.metrics.video_metric import VideoMetric
from dcvsr.runtime.errors import UserError
from dcvsr.weights.search import not_found, search_folders

WEIGHTS = "DOVER.pth"
RELEASE = f"https://github.com/VQAssessment/DOVER/releases/download/v0.1.0/{WEIGHTS}"

MEAN_T, STD_T, WEIGHT_T = 0.1107, 0.07355, 0.6104
MEAN_A, STD_A, WEIGHT_A = -0.08285, 0.03774, 0.3896


class DOVER(Metric, VideoMetric):
    """Mean over clips of the overall score in percent, as evaluate_a_set_of_videos.py prints it.

    Needs no reference. ``seed`` alone determines a clip's views, independently of the device and of clips
    scored before. For clips of fewer than 32 frames, the aesthetic view repeats the first frame, as the
    authors do.

    Args:
        seed: of the sampling of views.

    Raises:
        UserError: if DOVER.pth is not found, or is not the official file.
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
        """Score a whole clip, ``f c h w`` in [0, 1], rounded to eight bits; ``reference`` is ignored.

        Raises:
            UserError: if a frame is smaller than 32x32.
        """
        generator = torch.Generator().manual_seed(self.seed)
        technical, aesthetic = (view(restored, generator) for view in (technical_view, aesthetic_view))
        maps = self.network({"technical": technical, "aesthetic": aesthetic})
        self.technical.append(maps["technical"].mean().reshape(1))
        self.aesthetic.append(maps["aesthetic"].mean().reshape(1))

    def compute(self) -> Tensor:
        """Compute the mean over clips of the reading ``overall``, a scalar in percent."""
        return self.readings()["overall"]

    def readings(self) -> dict[str, Tensor]:
        """Compute the mean over clips of each of `readings`, scalars, without running the network again."""
        scores = readings(dim_zero_cat(self.technical), dim_zero_cat(self.aesthetic))
        return {name: score.mean() for name, score in scores.items()}


class Network(nn.Module):
    """The official network; its parameters have exactly the names in DOVER.pth."""

    def __init__(self) -> None:
        super().__init__()
        self.technical_backbone, self.technical_head = Swin3D(), Head()
        self.aesthetic_backbone, self.aesthetic_head = ConvNeXt3D(), Head()

    def forward(self, views: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Map views ``technical`` and ``aesthetic``, ``b c t h w``, to score maps ``b 1 t/2 h/32 w/32``."""
        return {
            "technical": self.technical_head(self.technical_backbone(views["technical"])),
            "aesthetic": self.aesthetic_head(self.aesthetic_backbone(views["aesthetic"])),
        }


class Head(nn.Module):
    """Scoring head; its dropout, inactive at inference, is omitted."""

    def __init__(self) -> None:
        super().__init__()
        self.fc_hid, self.fc_last = nn.Conv3d(768, 64, 1), nn.Conv3d(64, 1, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Score each position: ``b 768 t h w`` -> ``b 1 t h w``."""
        return self.fc_last(F.gelu(self.fc_hid(features)))


def readings(technical: Tensor, aesthetic: Tensor) -> dict[str, Tensor]:
    """Combine a clip's two scores in each way that has been published as DOVER; in percent except raw ones.

    ``overall``: both scripts of the authors since August 2023.
    ``technical``, ``aesthetic``: one standardised score alone; SeedVR and SeedVR2 report the former.
    ``swapped``: the two scores exchanged.
    ``sign_flipped``: the aesthetic mean without its sign, as in evaluate_one_video.py before August 2023.
    ``swapped_sign_flipped``: both errors, as in evaluate_a_set_of_videos.py before August 2023.
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
    """Standardise both scores on KoNViD-1k and weight them (evaluate_a_set_of_videos.py); in percent."""
    t, a = (technical - MEAN_T) / STD_T, (aesthetic - mean_a) / STD_A
    return 100 * torch.sigmoid(WEIGHT_T * t + WEIGHT_A * a)


def _find() -> Path:
    for folder in search_folders():
        if (folder / WEIGHTS).is_file():
            return folder / WEIGHTS
    raise UserError(f"{not_found(WEIGHTS)}; download {RELEASE} into one of them")


def _load(network: Network, path: Path) -> None:
    """Load DOVER.pth. The authors publish no hash, so only parameter names and shapes are verified."""
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch.load raises many exception types
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is not the official {WEIGHTS} ({reason}); download {RELEASE}") from error

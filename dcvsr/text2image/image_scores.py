"""Inception Score and FID of a set of images, by torchmetrics and torch-fidelity.

Axes: images ``b c h w``, uint8.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torchmetrics.image import fid, inception

from dcvsr.runtime.errors import UserError
from dcvsr.runtime.extras import missing
from dcvsr.weights.registry import locate


class InceptionScore(nn.Module):
    """Inception Score (Salimans et al. 2016), averaged over random parts of the set.

    Args:
        weights: a file, or the name of one that torch-fidelity publishes.
        splits: number of parts.
        seed: of the division into parts.

    Raises:
        UserError: if torch-fidelity or the weights are missing.
    """

    higher_is_better = True

    def __init__(self, weights: str, splits: int, seed: int) -> None:
        super().__init__()
        self.score = inception.InceptionScore(embedding("logits_unbiased", weights), splits)
        self.splits, self.seed, self.count = splits, seed, 0

    def update(self, images: Tensor) -> None:
        """Add images to the set."""
        self.score.update(images)
        self.count += len(images)

    def compute(self) -> Tensor:
        """Compute the score of the set, a scalar.

        Raises:
            UserError: if a part would hold one image only, whose score is always 1.
        """
        if self.count < 2 * self.splits:
            raise UserError(f"IS in {self.splits} parts needs {2 * self.splits} images, got {self.count}")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return self.score.compute()[0]


class FID(nn.Module):
    """Fréchet inception distance (Heusel et al. 2017) to real images, resized to the generated images' size.

    Args:
        weights: a file, or the name of one that torch-fidelity publishes.
        real_images: function from (height, width) to batches of real images.

    Raises:
        UserError: if torch-fidelity or the weights are missing.
    """

    higher_is_better = False

    def __init__(self, weights: str, real_images: Callable[[tuple[int, int]], Iterable[Tensor]]) -> None:
        super().__init__()
        self.distance = fid.FrechetInceptionDistance(embedding("2048", weights))
        self.real_images = real_images

    def update(self, images: Tensor) -> None:
        """Add generated images, and on the first call all real images."""
        if not self.distance.real_features_num_samples:
            height, width = images.shape[-2:]
            for batch in self.real_images((height, width)):
                self.distance.update(batch.to(images.device), real=True)
        self.distance.update(images, real=False)

    def compute(self) -> Tensor:
        """Compute the distance, a scalar.

        Raises:
            UserError: if there are fewer than two generated images.
        """
        if self.distance.fake_features_num_samples < 2:
            raise UserError("FID needs at least two images")
        return self.distance.compute()


def embedding(output: str, weights: str) -> nn.Module:
    """Return Inception up to ``output``, for images of any size: ``b c h w`` -> ``b d``.

    Raises:
        UserError: if torch-fidelity is missing, or the weights cannot be found or belong to another network.
    """
    if not fid._TORCH_FIDELITY_AVAILABLE:
        raise missing("Inception", "torch-fidelity", "text2image")
    path = locate(weights)
    try:
        torch.load(path, map_location="cpu", weights_only=True)  # torch-fidelity would execute pickles
        with torch.random.fork_rng(devices=[]):
            return fid.NoTrainInceptionV3("inception-v3-compat", [output], str(path))
    except Exception as error:  # torch.load raises many exception types
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path} is not torch-fidelity's Inception ({reason}); give weights of inception-v3-compat"
        ) from error

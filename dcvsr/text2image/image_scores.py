"""How good generated images look as a set: Inception Score and FID, by torchmetrics and torch-fidelity.

Axes: images ``b c h w`` of bytes.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torchmetrics.image import fid, inception

from dcvsr.runtime.errors import UserError
from dcvsr.runtime.extras import missing
from dcvsr.weights.registry import locate


class InceptionScore(nn.Module):
    """Salimans et al. 2016: how sure Inception is of each image, and how varied the images are.

    Args:
        weights: a file, or the name of torch-fidelity's.
        splits: parts of the set, drawn by ``seed``, whose scores are averaged.

    Raises:
        UserError: if Inception cannot be had.
    """

    higher_is_better = True

    def __init__(self, weights: str, splits: int, seed: int) -> None:
        super().__init__()
        self.score = inception.InceptionScore(embedding("logits_unbiased", weights), splits)
        self.splits, self.seed, self.count = splits, seed, 0

    def update(self, images: Tensor) -> None:
        self.score.update(images)
        self.count += len(images)

    def compute(self) -> Tensor:
        """
        Raises:
            UserError: if a part would be of one image, whose score is 1 whatever it shows.
        """
        if self.count < 2 * self.splits:
            raise UserError(f"IS in {self.splits} parts needs {2 * self.splits} images, got {self.count}")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return self.score.compute()[0]


class FID(nn.Module):
    """Heusel et al. 2017: Fréchet inception distance to real images, seen at the size of the images.

    Args:
        weights: a file, or the name of torch-fidelity's.
        real_images: height and width -> batches of them.

    Raises:
        UserError: if Inception cannot be had.
    """

    higher_is_better = False

    def __init__(self, weights: str, real_images: Callable[[tuple[int, int]], Iterable[Tensor]]) -> None:
        super().__init__()
        self.distance = fid.FrechetInceptionDistance(embedding("2048", weights))
        self.real_images = real_images

    def update(self, images: Tensor) -> None:
        if not self.distance.real_features_num_samples:
            height, width = images.shape[-2:]
            for batch in self.real_images((height, width)):
                self.distance.update(batch.to(images.device), real=True)
        self.distance.update(images, real=False)

    def compute(self) -> Tensor:
        """
        Raises:
            UserError: if there is a single image.
        """
        if self.distance.fake_features_num_samples < 2:
            raise UserError("FID needs two images or more")
        return self.distance.compute()


def embedding(output: str, weights: str) -> nn.Module:
    """Inception's ``output`` for images of any size: ``b c h w`` -> ``b d``.

    Raises:
        UserError: if torch-fidelity is not installed, or the weights cannot be had or are another network's.
    """
    if not fid._TORCH_FIDELITY_AVAILABLE:
        raise missing("Inception", "torch-fidelity", "text2image")
    path = locate(weights)
    try:
        torch.load(path, map_location="cpu", weights_only=True)  # torch-fidelity would run what is pickled
        with torch.random.fork_rng(devices=[]):
            return fid.NoTrainInceptionV3("inception-v3-compat", [output], str(path))
    except Exception as error:  # torch.load says 'no weights' with many types
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is not Inception as torch-fidelity has it ({reason})") from error

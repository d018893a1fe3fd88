"""Batches of images from files, cropped and resized to one size.

Axes: images ``b c h w``, uint8.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dcvsr.runtime.errors import UserError

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


class RealImages:
    """Images in a folder, in batches of one size.

    Args:
        folder: path of the folder; None raises.
        batch: images per batch.

    Raises:
        UserError: if the folder is None or cannot be read, or holds fewer than two images.
    """

    def __init__(self, folder: str | None, batch: int) -> None:
        if folder is None:
            raise UserError("FID needs real images; give real_images=FOLDER")
        try:
            files = sorted(file for file in Path(folder).iterdir() if file.suffix.lower() in SUFFIXES)
        except OSError as error:
            raise UserError(f"cannot read {folder}: {error.strerror}; give a folder of images") from error
        if len(files) < 2:
            raise UserError(f"FID needs at least two real images: {folder} holds {len(files)}")
        self.files, self.batch = files, batch

    def __call__(self, size: tuple[int, int]) -> "Iterator[Tensor]":
        """Return all images in batches, cropped and resized to ``size`` (height, width)."""
        return batches(self.files, size, self.batch, "real_images")


def batches(
    files: Sequence[Path], size: tuple[int, int] | None, batch: int, title: str
) -> "Iterator[Tensor]":
    """Yield images in order with a progress bar.

    Args:
        files: paths of the images.
        size: height and width to crop and resize to; None if all images have the same size.
        batch: images per batch.
        title: of the progress bar.

    Raises:
        UserError: if a file is not an image.
    """
    import numpy as np
    import torch
    from einops import rearrange
    from PIL import ImageOps
    from tqdm import tqdm

    with tqdm(total=len(files), desc=title, unit="image") as bar:
        for start in range(0, len(files), batch):
            images = [read_image(file) for file in files[start : start + batch]]
            if size is not None:
                images = [ImageOps.fit(image, (size[1], size[0])) for image in images]
            yield rearrange(torch.from_numpy(np.stack(images)), "b h w c -> b c h w")
            bar.update(len(images))


def read_image(file: Path) -> "Image.Image":
    """Read an image as RGB.

    Raises:
        UserError: if the file is not an image.
    """
    from PIL import Image

    try:
        return Image.open(file).convert("RGB")
    except OSError as error:
        raise UserError(f"cannot read the image {file} ({error}); remove it") from error

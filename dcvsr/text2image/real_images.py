"""Images from files, alike in size, as what embeds them wants them.

Axes: images ``b c h w`` of bytes.
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
    """The images in a folder, to be cropped to a shape and resized.

    Raises:
        UserError: if there is no folder, or it holds fewer than two.
    """

    def __init__(self, folder: str | None, batch: int) -> None:
        if folder is None:
            raise UserError("FID needs real images; give real_images=FOLDER")
        try:
            files = sorted(file for file in Path(folder).iterdir() if file.suffix.lower() in SUFFIXES)
        except OSError as error:
            raise UserError(f"cannot read {folder}: {error.strerror}; give a folder of images") from error
        if len(files) < 2:
            raise UserError(f"FID needs two real images or more: {folder} holds {len(files)}")
        self.files, self.batch = files, batch

    def __call__(self, size: tuple[int, int]) -> "Iterator[Tensor]":
        """All of them, at ``size``, height and width."""
        return batches(self.files, size, self.batch, "real_images")


def batches(
    files: Sequence[Path], size: tuple[int, int] | None, batch: int, title: str
) -> "Iterator[Tensor]":
    """Images in order, under a progress bar.

    Args:
        size: height and width to crop to the shape of, and to resize to; None where all have one size.

    Raises:
        UserError: if a file is no image.
    """
    import numpy as np
    import torch
    from einops import rearrange
    from PIL import ImageOps
    from tqdm import tqdm

    with tqdm(total=len(files), desc=title, unit="image") as bar:
        for start in range(0, len(files), batch):
            images = [opened(file) for file in files[start : start + batch]]
            if size is not None:
                images = [ImageOps.fit(image, (size[1], size[0])) for image in images]
            yield rearrange(torch.from_numpy(np.stack(images)), "b h w c -> b c h w")
            bar.update(len(images))


def opened(file: Path) -> "Image.Image":
    from PIL import Image

    try:
        return Image.open(file).convert("RGB")
    except OSError as error:
        raise UserError(f"cannot read the image {file} ({error}); remove it") from error

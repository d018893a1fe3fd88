"""Reading and writing of frame folders: images in the natural order of their names (2 before 10).

Axes: f frames, c channels (RGB), h height, w width.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from PIL import Image, ImageFile, ImageOps
from torch import Tensor

from dcvsr.runtime.errors import UserError
from dcvsr.video.deep_colour import WHITE
from dcvsr.video.image_headers import ImageHeader, warn_of_gaps, warn_of_headers
from dcvsr.video.memory import Metadata
from dcvsr.video.picture import Alpha, transparent
from dcvsr.video.png import read_16_bits, write_png
from dcvsr.video.skipped_files import warn_of_skipped

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

_PNG_END, _TAIL = b"IEND", 64


class FolderFrames:
    """Frames of a folder of images, read one at a time; a warning names other files.

    Attributes:
        path: the folder.
        length: number of frames.
        shape: height and width of the first frame.
        rate: frames per second.
        channels: 4 if alpha is read beside RGB, else 3.
        bits: bits per sample of the frames as they are read.

    Args:
        path: the folder.
        rate: frames per second.
        alpha: treatment of transparent pixels.
        deep: True to read all frames as uint16 if any has 16 bits, False to round them to uint8.

    Raises:
        UserError: as ``frame_paths`` and, for the first frame, ``read_frame`` do.
    """

    def __init__(self, path: Path, rate: Fraction, alpha: Alpha = "refuse", deep: bool = False) -> None:
        self.path, self.rate, self._paths = path, rate, frame_paths(path)
        self._alpha: Alpha = alpha
        self.length = len(self._paths)
        self.channels, height, width = read_frame(self._paths[0], alpha).shape
        self.shape = (height, width)
        self.bits = 16 if deep and any(_header(path).has_16_bits for path in self._paths) else 8
        self._headers: list[ImageHeader] = []

    def __iter__(self) -> Iterator[Callable[[], Tensor]]:
        """Yield a function for each frame that reads it as ``c h w``, uint8 or uint16.

        The function raises UserError if the frame's size is not ``shape``, or as ``read_frame`` does.
        """
        return (partial(self._image, path) for path in self._paths)

    def metadata(self) -> Metadata:
        """Return the metadata of the folder; warn of what its frames have lost, and of files left out."""
        warn_of_headers(self.path, self._headers, self.bits)
        warn_of_gaps(self.path, self._paths)
        others = {path for path in self.path.iterdir() if path.name[0] != "."} - {*self._paths}
        warn_of_skipped(self.path, sorted(others), "frames")
        names, profile = tuple(path.stem for path in self._paths), self._headers[0].profile
        return Metadata(self.rate, source=self.path, names=names, bits=self.bits, profile=profile)

    def _image(self, path: Path) -> Tensor:
        image = read_frame(path, self._alpha, self.bits > 8)
        if (shape := tuple(image.shape[1:])) != self.shape:
            raise UserError(
                f"{self.path} holds frames of two sizes: {self._paths[0].name} is {_size(self.shape)}, "
                f"{path.name} is {_size(shape)}; make them one size"
            )
        self._headers.append(_header(path))
        return image


def frame_paths(folder: Path) -> list[Path]:
    """Return the paths of a folder's images in natural order.

    Raises:
        UserError: if there are none, or two with the same name.
    """
    images = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.name[0] != "."]
    paths = sorted(images, key=_natural)
    if not paths:
        raise UserError(f"{folder} holds no frames; pass a folder of images ({', '.join(SUFFIXES)})")
    for path, following in pairwise(paths):
        if path.stem == following.stem:
            raise UserError(
                f"{folder} holds the same frame twice: {path.name} and {following.name}; remove one"
            )
    return paths


def read_frame(path: Path, alpha: Alpha = "refuse", deep: bool = False) -> Tensor:
    """Read an image as ``c h w``: RGB, and alpha beside where ``alpha`` is ``bicubic``.

    Samples are uint8, or uint16 if ``deep``.

    Raises:
        UserError: if it cannot be read, has transparent pixels that ``alpha`` refuses, or 32-bit samples.
    """
    if deep and (header := _header(path)).has_16_bits:
        return _deep(path, header.orientation, alpha)
    with _opened(path) as file:
        image = ImageOps.exif_transpose(file)
    if image.mode in ("I", "F"):
        raise UserError(f"{path} has 32-bit samples; convert it to 8 bits first")
    checked = alpha == "refuse" and image.has_transparency_data
    if checked and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
        raise transparent(path)
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))  # convert() would clip at 255
    pixels = np.array(image.convert("RGBA" if alpha == "bicubic" else "RGB"))
    if deep:
        pixels = pixels.astype(np.uint16) * 257
    return rearrange(torch.from_numpy(pixels), "h w c -> c h w").contiguous()


def _deep(path: Path, orientation: int, alpha: Alpha) -> Tensor:
    """Read an image of 16-bit samples as uint16 ``c h w``."""
    with _opened(path):
        image = read_16_bits(path)
    if alpha == "refuse" and image[..., 3].min() < WHITE:
        raise transparent(path)
    if orientation in (5, 7):
        image = image.swapaxes(0, 1)
    image = np.rot90(image, {3: 2, 6: 3, 7: 2, 8: 1}.get(orientation, 0))
    if orientation in (2, 4):
        image = np.flip(image, {2: 1, 4: 0}[orientation])
    kept = image[..., : 4 if alpha == "bicubic" else 3]
    return torch.from_numpy(np.ascontiguousarray(rearrange(kept, "h w c -> c h w")))


def frame_size(path: Path) -> tuple[int, int]:
    """Return the height and width in an image's header, before any rotation that its EXIF data asks for.

    Raises:
        UserError: if it is not an image, or is a truncated PNG.
    """
    with _opened(path) as file:
        width, height = file.size
    if file.format == "PNG" and _PNG_END not in _tail(path):
        read_frame(path)  # may be whole after all, with data appended; decoding raises if not
    return height, width


def write_frames(
    folder: Path, images: Iterable[np.ndarray], names: Sequence[str], profile: bytes | None = None
) -> None:
    """Create ``folder`` and write ``h w c`` images as PNG, named by ``names`` or 00000000, 00000001.

    Args:
        folder: the folder to create.
        images: uint8 or uint16.
        names: of the frames, without suffix.
        profile: ICC profile of all.
    """
    folder.mkdir()
    for index, image in enumerate(images):
        name = names[index] if names else f"{index:08d}"
        write_png(folder / f"{name}.png", image, profile)


@contextmanager
def _opened(path: Path) -> Iterator[ImageFile.ImageFile]:
    try:
        with Image.open(path) as file:
            yield file
    except Exception as error:  # Pillow raises many types on damaged files
        raise UserError(f"{path} cannot be read as an image ({error}); replace it or leave it out") from error


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-min(_TAIL, path.stat().st_size), os.SEEK_END)
        return file.read()


def _natural(path: Path) -> tuple[list[str | int], str]:
    parts = re.split(r"([0-9]+)", path.stem)
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], path.name


def _header(path: Path) -> ImageHeader:
    with _opened(path) as image:
        return ImageHeader.of(image, path)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"

"""Pictures of decoded frames as players show them: cropped, upright, in RGB, with or without alpha.

Axes: h height, w width, c channels (RGB, and alpha where it is kept).
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import av
import numpy as np
import torch
from av.container import InputContainer
from einops import rearrange
from torch import Tensor

from dcvsr.runtime.errors import UserError
from dcvsr.video.colour import Colour
from dcvsr.video.container import description
from dcvsr.video.deep_colour import WHITE
from dcvsr.video.orientation import is_turned, upright

Alpha = Literal["refuse", "bicubic", "ignore"]
"""Transparent pixels: an error, a fourth channel that is upscaled beside, or opaque."""

_CROPPING = re.compile(r"^      Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Picture:
    """Conversion of the frames of one stream.

    Attributes:
        path: the file, for messages.
        colour: matrix and range of the samples.
        crop: pixels that the container cuts off at left, right, top and bottom of the stored picture.
        has_alpha: True if a fourth channel is read.
        alpha: treatment of transparent pixels.
        deep: True for uint16 images, False for uint8.
    """

    path: Path
    colour: Colour
    crop: tuple[int, int, int, int]
    has_alpha: bool
    alpha: Alpha
    deep: bool = False

    def shape(self, frame: av.VideoFrame, matrix: np.ndarray) -> tuple[int, int]:
        """Return the height and width of a frame as displayed by ``matrix``."""
        left, right, top, bottom = self.crop
        height, width = frame.height - top - bottom, frame.width - left - right
        return (width, height) if is_turned(matrix) else (height, width)

    def image(self, frame: av.VideoFrame, matrix: np.ndarray) -> Tensor:
        """Convert a frame to ``c h w``, uint8 or uint16.

        Raises:
            UserError: if it has transparent pixels that ``alpha`` refuses.
        """
        image = self.colour.to_rgb(frame, self.deep)
        if is_transparent(frame.format) and self.alpha != "ignore":
            opacity = frame.reformat(format="rgba64le" if self.deep else "rgba").to_ndarray()[..., 3:]
            if self.has_alpha:
                image = np.concatenate([image, opacity], -1)
            elif self._cropped(opacity).min() < (WHITE if self.deep else 255):
                raise transparent(self.path)
        shown = rearrange(upright(self._cropped(image), matrix), "h w c -> c h w")
        return torch.from_numpy(np.ascontiguousarray(shown))

    def _cropped(self, image: np.ndarray) -> np.ndarray:
        left, right, top, bottom = self.crop
        height, width, _ = image.shape
        return image[top : height - bottom, left : width - right]


def transparent(path: Path) -> UserError:
    """Return the error for transparent pixels."""
    return UserError(
        f"{path} has transparent pixels; put it on a background first, or use alpha=bicubic to upscale alpha "
        "beside, or alpha=ignore to drop it"
    )


def require_alpha(alpha: str) -> None:
    """Raise UserError unless ``alpha`` is a treatment of transparent pixels."""
    if alpha not in get_args(Alpha):
        raise UserError(f"alpha={alpha} is not a treatment of alpha; choose {', '.join(get_args(Alpha))}")


def is_transparent(pixel_format: av.VideoFormat) -> bool:
    """Return True if a format may hold transparent pixels."""
    return pixel_format.has_palette or any(component.is_alpha for component in pixel_format.components)


def container_crop(container: InputContainer, stream: av.VideoStream) -> tuple[int, int, int, int]:
    """Return the pixels that the container cuts off at left, right, top and bottom: PixelCrop, ``clap``."""
    text = description(container)
    own = re.search(rf"^  Stream #0:{stream.index}\b.*\n(?:^    .*\n?)*", text, re.MULTILINE)
    found = _CROPPING.search(own[0]) if own else None
    if not found:
        return (0, 0, 0, 0)
    left, right, top, bottom = map(int, found.groups())
    return left, right, top, bottom

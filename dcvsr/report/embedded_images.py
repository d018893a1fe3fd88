"""Images embedded in the page."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class EmbeddedImage:
    """Lossless image of a row.

    Args:
        label: label of the row.
        pixels: uint8 ``h w c``.
    """

    label: str
    pixels: np.ndarray

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.pixels.shape[1]

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.pixels.shape[0]

    @property
    def address(self) -> str:
        """Encode the image as PNG in a ``data:`` address."""
        png = io.BytesIO()
        Image.fromarray(self.pixels).save(png, "PNG", optimize=True)
        return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()

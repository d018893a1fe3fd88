"""Drawing of pictures in labelled rows and columns.

Axes: frames are ``c h w`` in [0, 1]; images are PIL images.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
import torch
from einops import rearrange
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from dcvsr.figures.boxes import Box
from dcvsr.imaging import to_bytes, to_unit

CELL, GAP, MARGIN = 192, 6, 16
"""Pixels: side to which small pictures are magnified, space between pictures, and outer margin."""
HEADING, SMALL = (ImageFont.load_default(size) for size in (15, 12))
HEADING_HEIGHT, CAPTION_HEIGHT = 24, 20
INK, FAINT, PAPER, MARK = "#111111", "#6b6b6b", "#ffffff", "#ff3b30"


@dataclass(frozen=True)
class GridRow:
    """A row of pictures, one per column, below a caption."""

    caption: str
    pictures: Sequence[Image.Image]


def grid(heading: Sequence[str], rows: Sequence[GridRow]) -> Image.Image:
    """Draw all rows, below a heading with the names of the columns."""
    columns = zip(*(row.pictures for row in rows), strict=True)
    widths = [
        max(ceil(HEADING.getlength(name)), *(picture.width for picture in column))
        for name, column in zip(heading, columns, strict=True)
    ]
    heights = [CAPTION_HEIGHT + max(picture.height for picture in row.pictures) + GAP for row in rows]
    width = 2 * MARGIN + sum(widths) + GAP * (len(widths) - 1)
    sheet = Image.new("RGB", (width, 2 * MARGIN + HEADING_HEIGHT + sum(heights) - GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    lefts = [MARGIN + sum(widths[:i]) + GAP * i for i in range(len(widths))]
    for left, name in zip(lefts, heading, strict=True):
        draw.text((left, MARGIN), name, INK, HEADING, anchor="la")
    top = MARGIN + HEADING_HEIGHT
    for row, height in zip(rows, heights, strict=True):
        draw.text((MARGIN, top + 2), row.caption, FAINT, SMALL, anchor="la")
        for left, picture in zip(lefts, row.pictures, strict=True):
            sheet.paste(picture, (left, top + CAPTION_HEIGHT))
        top += height
    return sheet


def picture(frame: Tensor) -> Image.Image:
    """Convert a frame in [0, 1] to an image."""
    return Image.fromarray(rearrange(to_bytes(frame), "c h w -> h w c").cpu().numpy())


def magnified(image: Image.Image) -> Image.Image:
    """Magnify an image by the integer that brings its longer side nearest to ``CELL``, at least 1."""
    factor = max(1, round(CELL / max(image.size)))
    return image.resize((factor * image.width, factor * image.height), Image.Resampling.NEAREST)


def outlined(frame: Tensor, box: Box, height: int) -> Image.Image:
    """Draw a whole frame in [0, 1], ``height`` pixels high, with ``box`` outlined."""
    image = picture(frame)
    scale = height / image.height
    small = image.resize((round(scale * image.width), height), Image.Resampling.LANCZOS)
    left, top = round(scale * box.left), round(scale * box.top)
    right, bottom = round(scale * (box.left + box.width)) - 1, round(scale * (box.top + box.height)) - 1
    ImageDraw.Draw(small).rectangle((left, top, right, bottom), outline=MARK, width=2)
    return small


def strip(labels: Sequence[str], width: int) -> Image.Image:
    """Draw labels below pictures that are side by side, each ``width`` pixels wide."""
    size = max(9, width // 24)
    font = ImageFont.load_default(size)
    image = Image.new("RGB", (len(labels) * width, 2 * size), PAPER)
    for i, label in enumerate(labels):
        ImageDraw.Draw(image).text(((i + 0.5) * width, size), label, INK, font, anchor="mm")
    return image


def side_by_side(frames: Sequence[Tensor], labels: Sequence[str]) -> Tensor:
    """Arrange labelled frames in [0, 1], all of one size, in a near-square grid: ``c h w``."""
    columns, size = ceil(sqrt(len(frames))), frames[0].shape
    rows = []
    for start in range(0, len(frames), columns):
        shown, names = frames[start : start + columns], labels[start : start + columns]
        row = torch.cat(list(shown), dim=-1)
        below = rearrange(to_unit(torch.from_numpy(np.array(strip(names, size[-1])))), "h w c -> c h w")
        blank = columns * size[-1] - row.shape[-1]
        rows.append(F.pad(torch.cat([row, below.to(row)], dim=-2), [0, blank], value=1.0))
    return torch.cat(rows, dim=-2)


def png(image: Image.Image) -> bytes:
    """Encode an image as PNG."""
    content = io.BytesIO()
    image.save(content, "PNG", optimize=True)
    return content.getvalue()

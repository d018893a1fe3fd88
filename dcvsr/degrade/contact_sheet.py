"""Contact sheet of a degradation: a row per clip, a picture after each step.

Axes: frames are ``c h w``; images are ``h w c``.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from einops import rearrange
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from dcvsr.degradation.pipeline import Degradation
from dcvsr.degradation.walk import Params, walked
from dcvsr.degrade.hr_clips import Source
from dcvsr.degrade.parameters import Parameters
from dcvsr.degrade.worker_pool import Tick
from dcvsr.imaging import to_bytes, to_unit

FRAMES = 15
"""Number of frames to degrade, so that the codec has frames to predict from; the middle one is shown."""
SIDE, GAP, MARGIN = 192, 10, 24
"""Pixels: side of a picture, space between pictures, and outer margin."""
INK, FAINT, PAPER = "#111111", "#6b6b6b", "#ffffff"
TITLE, HEADING, SMALL = (ImageFont.load_default(size) for size in (22, 15, 12))
LINE = 15
"""Line height of small text in pixels."""


@dataclass(frozen=True)
class SheetPicture:
    """One column of a row: the name of a step, its parameters, and the resulting frame."""

    name: str
    numbers: tuple[str, ...]
    image: Image.Image


@dataclass(frozen=True)
class SheetRow:
    """The row of one clip."""

    title: str
    subtitle: str
    pictures: tuple[SheetPicture, ...]


@dataclass(frozen=True)
class Preview:
    """Job that makes the row of one clip: HR, the result of each step, and LR."""

    source: Source
    degradation: Degradation
    parameters: Parameters

    def __call__(self, tick: Tick) -> SheetRow:
        """Degrade the first frames and return the row; raise UserError if the clip cannot be read."""
        opened = self.source.open()
        params = self.parameters(self.source.name, opened.shape)
        count, _, height, width = opened.shape
        clip = to_unit(torch.stack([opened.read(index) for index in range(min(count, FRAMES))]))
        middle = len(clip) // 2
        share = min(SIDE, height, width) / height, min(SIDE, height, width) / width
        pictures = [SheetPicture("HR", (f"{width}x{height}",), _part(clip[middle], share))]
        frame = clip[middle]
        with torch.no_grad():
            stages = self.degradation.stages(params, clip)
            for (name, frames), numbers in zip(stages, _numbers(params, middle), strict=True):
                frame = frames[middle]
                size = f"{frame.shape[2]}x{frame.shape[1]}"
                pictures.append(SheetPicture(name, (*numbers, size), _part(frame, share)))
        lr = f"{frame.shape[2]}x{frame.shape[1]}"
        pictures.append(SheetPicture("LR", (lr, "rounded to 8 bits"), _part(frame, share)))
        tick(len(clip))
        return SheetRow(self.source.name, f"{width}x{height}, frame {middle} of {count}", tuple(pictures))


def sheet(heading: str, rows: Sequence[SheetRow]) -> bytes:
    """Draw all rows below each other, as PNG."""
    columns = max(len(row.pictures) for row in rows)
    heights = [_row_height(row) for row in rows]
    width = 2 * MARGIN + columns * (SIDE + GAP) - GAP
    image = Image.new("RGB", (width, 2 * MARGIN + 24 + sum(heights)), PAPER)
    draw, top = ImageDraw.Draw(image), MARGIN + 24
    draw.text((MARGIN, MARGIN), heading, FAINT, HEADING, anchor="ls")
    for row, height in zip(rows, heights, strict=True):
        _draw_row(image, draw, row, top)
        top += height
    png = io.BytesIO()
    image.save(png, "PNG")
    return png.getvalue()


def _draw_row(image: Image.Image, draw: ImageDraw.ImageDraw, row: SheetRow, top: int) -> None:
    draw.text((MARGIN, top + 22), row.title, INK, TITLE, anchor="ls")
    after = MARGIN + draw.textlength(row.title, TITLE) + 12
    draw.text((after, top + 22), row.subtitle, FAINT, SMALL, anchor="ls")
    for column, picture in enumerate(row.pictures):
        left = MARGIN + column * (SIDE + GAP)
        image.paste(picture.image, (left, top + 34))
        base = top + 34 + SIDE + 18
        draw.text((left, base), picture.name, INK, HEADING, anchor="ls")
        for line, text in enumerate(picture.numbers, 1):
            draw.text((left, base + 2 + line * LINE), text, FAINT, SMALL, anchor="ls")


def _row_height(row: SheetRow) -> int:
    return 34 + SIDE + 20 + LINE * max(len(picture.numbers) for picture in row.pictures) + 26


def _part(frame: Tensor, share: tuple[float, float]) -> Image.Image:
    """Crop the centre of a frame, ``share`` of its height and width, and resize it to SIDE x SIDE pixels."""
    image = Image.fromarray(rearrange(to_bytes(frame), "c h w -> h w c").numpy())
    high, wide = (side * part for side, part in zip(frame.shape[1:], share, strict=True))
    left, top = (image.width - wide) / 2, (image.height - high) / 2
    box = left, top, left + wide, top + high
    return image.resize((SIDE, SIDE), Image.Resampling.NEAREST, box=box)


def _numbers(params: Params, frame: int) -> Iterator[tuple[str, ...]]:
    """Yield the parameters of each step that is applied, in order, at a frame."""
    for drawn in params.values():
        if drawn is None:
            continue
        if any(value is None or _is_step(value) for value in drawn.values()):
            yield from _numbers(drawn, frame)
        else:
            yield tuple(
                _formatted(key, value, frame)
                for key, value in drawn.items()
                if "seed" not in key and not isinstance(value, list)  # sizes are shown below every picture
            )


def _is_step(value: Any) -> bool:
    """Return True for a step's dict; random walks are dicts too, but have a start."""
    return isinstance(value, dict) and "start" not in value


def _formatted(key: str, value: Any, frame: int) -> str:
    if isinstance(value, dict):
        value = next(islice(walked(value), frame, None))
    return f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"

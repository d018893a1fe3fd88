"""Tests of drawing pictures in rows and columns."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from dcvsr.figures.boxes import Box
from dcvsr.figures.picture_grid import CELL, GridRow, grid, magnified, outlined, picture, side_by_side


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def places(sheet: Image.Image, part: Image.Image) -> list[tuple[int, int]]:
    """Return left and top of each position at which ``sheet`` contains ``part`` exactly."""
    whole, pixels = np.asarray(sheet), np.asarray(part)
    height, width, _ = pixels.shape
    tops, lefts = np.nonzero((whole == pixels[0, 0]).all(-1))
    return [
        (int(left), int(top))
        for top, left in zip(tops, lefts, strict=True)
        if np.array_equal(whole[top : top + height, left : left + width], pixels)
    ]


def test_each_picture_is_drawn_once_and_unchanged_in_its_row_and_column() -> None:
    pictures = [[noise(20, 30 + 9 * x, 2 * y + x) for x in range(2)] for y in range(3)]
    sheet = grid(
        ["one", "a longer name than pictures are wide"], [GridRow("caption", row) for row in pictures]
    )
    found = [[places(sheet, one) for one in row] for row in pictures]
    assert all(len(at) == 1 for row in found for at in row)
    lefts = {x: {row[x][0][0] for row in found} for x in range(2)}
    tops = [{at[0][1] for at in row} for row in found]
    assert all(len(edges) == 1 for edges in [*lefts.values(), *tops])
    assert max(lefts[0]) + 30 < min(lefts[1])
    assert all(max(above) + 20 < min(below) for above, below in pairwise(tops))


def test_a_long_heading_does_not_overlap_the_next() -> None:
    sheet = grid(["m" * 30, "x"], [GridRow("", [noise(4, 4), noise(4, 4, 1)])])
    [(left, _)] = places(sheet, noise(4, 4, 1))
    assert left > 300


@pytest.mark.parametrize(("side", "factor"), [(4, 48), (40, 5), (150, 1), (700, 1)])
def test_pictures_are_magnified_by_an_integer(side: int, factor: int) -> None:
    small = noise(side // 2, side)
    large = np.asarray(magnified(small))
    assert np.array_equal(large[::factor, ::factor], np.asarray(small))
    assert large.shape[:2] == (factor * (side // 2), factor * side)
    assert side > CELL or abs(large.shape[1] - CELL) <= side / 2


def test_the_outline_is_at_the_position_of_the_box() -> None:
    shown = np.asarray(outlined(torch.zeros(3, 40, 60), Box(20, 8, 12, 16), height=80)).any(-1)
    rows, columns = np.nonzero(shown)
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (40, 16, 63, 47)
    assert not shown[20:40, 46:58].any()


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
def test_frames_side_by_side_are_all_drawn_unchanged(count: int) -> None:
    frames = [torch.from_numpy(np.array(noise(16, 60, seed))).permute(2, 0, 1) / 255 for seed in range(count)]
    sheet = picture(side_by_side(frames, [f"label {i}" for i in range(count)]))
    corners = [places(sheet, picture(frame)) for frame in frames]
    assert all(len(at) == 1 for at in corners)
    assert [at[0] for at in corners] == sorted((at[0] for at in corners), key=lambda at: (at[1], at[0]))


def test_labels_are_drawn_below_their_frames() -> None:
    frames = [torch.ones(3, 16, 60)] * 3
    labelled, blank = (
        np.asarray(picture(side_by_side(frames, labels))) < 128 for labels in (["a", "b", ""], [""] * 3)
    )
    assert not blank.any()
    rows, columns, _ = np.nonzero(labelled)
    assert set(columns // 60) == {0, 1}
    assert rows.min() >= 16
    assert rows.max() < 16 + 18

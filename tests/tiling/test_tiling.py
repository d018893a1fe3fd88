"""Tiles cover the canvas, and blending is a partition of unity."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvsr.tiling.blend import gaussian_window
from dcvsr.tiling.canvas import Canvas
from dcvsr.tiling.grid import TileGrid, starts

overlaps = st.floats(0, 0.95)


@given(length=st.integers(1, 300), size=st.integers(1, 80), overlap=overlaps)
def test_tiles_cover_an_axis_and_overlap_as_asked(length, size, overlap):
    first = starts(length, size, overlap)
    tile = min(size, length)
    assert first[0] == 0
    assert first[-1] == length - tile
    steps = [b - a for a, b in pairwise(first)]
    assert all(0 < step <= max(1, tile - round(overlap * size)) for step in steps)


def test_the_paper_s_tiles_of_reds4():
    """Spec A17: a 90x160x100 latent."""
    assert starts(90, 64, 0.5) == [0, 26]
    assert starts(160, 64, 0.5) == [0, 32, 64, 96]
    assert starts(100, 14, 0.5)[-2:] == [84, 86]
    windows = TileGrid(64, 14, 0.5).windows(100, 90, 160)
    assert (len(windows), len(windows[0])) == (14, 8)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 4), st.integers(1, 30), st.integers(1, 30)),
    size=st.integers(1, 16),
    frames=st.integers(1, 8),
    overlap=overlaps,
)
def test_merging_the_tiles_of_a_canvas_gives_the_canvas(shape, size, frames, overlap):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    canvas = Canvas(x, width=0.1)
    for window in TileGrid(size, frames, overlap).windows(shape[0], *shape[2:]):
        for tile in window:
            canvas.add(tile, x[tile.index])
    torch.testing.assert_close(canvas.merge(), x)


@pytest.mark.parametrize("size", [1, 2, 7, 14, 64])
def test_the_window_is_the_gaussian_of_spec_a16(size):
    """Variance 0.01 on the coordinate normalised by the size, centre (size - 1) / 2."""
    window = gaussian_window(size, 0.1).double()
    i = torch.arange(size, dtype=torch.float64)
    reference = torch.exp(-(((i - (size - 1) / 2) / size) ** 2) / (2 * 0.01))
    torch.testing.assert_close(window, reference, rtol=1e-6, atol=1e-12)
    assert torch.equal(window, window.flip(0))


@pytest.mark.parametrize(
    "bad", [{"size": 0}, {"size": -8}, {"frames": 0}, {"overlap": 1.0}, {"overlap": -0.1}]
)
def test_impossible_tiles_are_refused(bad):
    with pytest.raises(ValueError, match=str(next(iter(bad.values())))):
        TileGrid(**{"size": 8, "frames": 4, "overlap": 0.5, **bad})

"""Tiles cover the canvas, and blending is a partition of unity."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvsr.tiling.blend import gaussian_window
from dcvsr.tiling.canvas import Canvas
from dcvsr.tiling.grid import Tile, TileGrid, as_is, overlapping, shifted, starts, to_whole_strides

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


@settings(max_examples=40)
@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 4), st.integers(1, 30), st.integers(1, 30)),
    size=st.integers(3, 16),
    frames=st.integers(3, 8),
    overlap=overlaps,
    schedule=st.sampled_from(["overlap", "shifted"]),
    step=st.integers(0, 30),
)
def test_merging_the_tiles_of_a_canvas_gives_the_canvas(shape, size, frames, overlap, schedule, step):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    canvas = Canvas(x, space=0.1, time=0.1)
    for window in TileGrid(size, frames, overlap, schedule).windows(shape[0], *shape[2:], step):
        for tile in window:
            canvas.add(tile, x[tile.index])
    torch.testing.assert_close(canvas.merge(), x)


@given(length=st.integers(1, 300), size=st.integers(1, 80), overlap=overlaps, steps=st.integers(0, 30))
def test_the_paper_s_tiles_lie_where_they_lie_at_every_step(length, size, overlap, steps):
    tiles = overlapping(length, size, overlap, steps)
    assert [tile.start for tile in tiles] == starts(length, size, overlap)
    assert {tile.stop - tile.start for tile in tiles} == {min(size, length)}


@pytest.mark.parametrize("size", [3, 4, 5, 8, 9, 14, 32, 64])
def test_shifted_tiles_cover_once_are_never_slivers_and_share_no_seam_with_the_next_step(size):
    for length in range(1, 301):
        steps = [shifted(length, size, 0, step) for step in range(26)]
        assert len({len(tiles) for tiles in steps}) == 1
        for tiles in steps:
            covered = [i for tile in tiles for i in range(tile.start, tile.stop)]
            assert covered == list(range(length))
            sizes = [tile.stop - tile.start for tile in tiles]
            assert max(sizes) <= size
            assert min(sizes) >= min(length, round(size / 4))
        seams = [{tile.stop for tile in tiles[:-1]} for tiles in steps]
        assert all(not before & after for before, after in pairwise(seams))


@pytest.mark.parametrize("size", [8, 14, 32, 64])
def test_shifted_tiles_are_no_more_than_it_takes_to_move_by_a_quarter(size):
    for length in range(size + 1, 301):
        least = -(-length // size)
        crowded = 4 * (least * size - length) < size
        assert len(shifted(length, size, 0, 0)) == least + crowded


@pytest.mark.parametrize("size", [16, 32, 64])
def test_shifted_tiles_of_whole_strides_stay_on_them(size):
    for length in range(size, 300, size // 8):
        for step in range(9):
            assert all(tile.start % (size // 8) == 0 for tile in shifted(length, size, 0, step))


@given(size=st.integers(3, 80), length=st.integers(1, 300))
def test_seams_come_back_only_after_they_were_everywhere(size, length):
    seams = [shifted(length, size, 0, step)[0].stop for step in range(120)]
    places = len(set(seams))
    assert all(len(set(seams[i : i + places])) == places for i in range(120 - places))


@pytest.mark.parametrize("size", [1, 2])
def test_tiles_too_small_to_be_shifted_are_refused(size):
    assert shifted(size, size, 0, 0) == [slice(0, size)]
    with pytest.raises(ValueError, match=f"tiles of {size}.*overlap"):
        shifted(9, size, 0, 0)


def test_shifted_tiling_takes_48_evaluations_for_the_paper_s_112():
    """A 160x90 latent of 100 frames at 64 x 64 x 14."""
    for step in range(25):
        counts = [
            sum(map(len, TileGrid(64, 14, 0.5, schedule).windows(100, 90, 160, step)))
            for schedule in ("shifted", "overlap")
        ]
        assert counts == [48, 112]


def test_a_tile_knows_its_box():
    tile = Tile(slice(1, 3), slice(4, 9), slice(0, 7))
    assert tile.shape == (2, 5, 7)
    assert tile.box == (1, 3, 4, 9, 0, 7)
    assert torch.zeros(5, 6, 10, 11)[tile.index].shape == (2, 6, 5, 7)


@pytest.mark.parametrize("size", [1, 2, 7, 14, 64])
def test_the_window_is_the_gaussian_of_spec_a16(size):
    """Variance 0.01 on the coordinate normalised by the size, centre (size - 1) / 2."""
    window = gaussian_window(size, 0.1).double()
    i = torch.arange(size, dtype=torch.float64)
    reference = torch.exp(-(((i - (size - 1) / 2) / size) ** 2) / (2 * 0.01))
    torch.testing.assert_close(window, reference, rtol=1e-6, atol=1e-12)
    assert torch.equal(window, window.flip(0))


@given(length=st.integers(1, 300), size=st.integers(1, 80), overlap=overlaps)
def test_an_axis_is_padded_to_one_tile_or_until_equal_strides_end_at_its_border(length, size, overlap):
    step = max(1, size - round(overlap * size))
    assert as_is(length, size, overlap) == max(length, size)
    padded = to_whole_strides(length, size, overlap)
    assert padded >= max(length, size)
    assert padded - max(length, size) < step
    assert (padded - size) % step == 0


def test_tiles_of_one_latent_and_one_frame_are_allowed():
    windows = TileGrid(1, 1, 0.5).windows(2, 3, 1)
    assert [[tile.box for tile in window] for window in windows] == [
        [(f, f + 1, y, y + 1, 0, 1) for y in range(3)] for f in range(2)
    ]


@pytest.mark.parametrize(
    "bad", [{"size": 0}, {"size": -8}, {"frames": 0}, {"overlap": 1.0}, {"overlap": -0.1}]
)
def test_impossible_tiles_are_refused(bad):
    with pytest.raises(ValueError, match=str(next(iter(bad.values())))):
        TileGrid(**{"size": 8, "frames": 4, "overlap": 0.5, **bad})


@pytest.mark.parametrize("key", ["schedule", "border"])
def test_unknown_names_are_refused_with_those_known(key):
    with pytest.raises(ValueError, match=rf"^{key}: 'odd' is not a choice; choose \w+ or \w+$"):
        TileGrid(8, 4, 0.5, **{key: "odd"})

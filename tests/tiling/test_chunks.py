"""Chunks cover a video, and cross-fading them changes nothing that they agree on."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dcvsr.tiling.chunks import chunks, crossfaded

SIZES = st.integers(1, 8).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1)))


@given(st.integers(1, 40), SIZES)
def test_chunks_cover_every_frame_and_share_as_many_as_asked(frames, sizes):
    size, overlap = sizes
    cut = chunks(frames, size, overlap)
    assert cut[0].start == 0
    assert cut[-1].stop == frames
    assert all(chunk.stop - chunk.start == min(size, frames) for chunk in cut)
    for before, after in pairwise(cut):
        shared = before.stop - after.start
        assert shared == overlap if after is not cut[-1] else shared >= overlap
        assert after.stop > before.stop


@given(st.integers(1, 9), st.integers(1, 8))
def test_chunks_without_overlap_are_those_of_a_split(parts, size):
    cut = [torch.arange(parts * size)[chunk].tolist() for chunk in chunks(parts * size, size, 0)]
    assert cut == [part.tolist() for part in torch.arange(parts * size).split(size)]


def _joined(cut, parts):
    return torch.cat(list(crossfaded(zip(cut, parts, strict=True))), dim=1)


@given(st.integers(1, 30), SIZES)
def test_crossfading_a_frame_wise_decoder_is_decoding_at_once(frames, sizes):
    video = torch.rand(1, frames, 2, 3, 1)
    cut = chunks(frames, *sizes)
    torch.testing.assert_close(_joined(cut, [video[:, chunk] for chunk in cut]), video)


@given(st.integers(1, 30), SIZES)
def test_the_weights_of_every_frame_sum_to_one(frames, sizes):
    """Each chunk in turn is 1 and all others 0: the results are its weights."""
    cut = chunks(frames, *sizes)
    weights = []
    for chosen in range(len(cut)):
        parts = [
            torch.full((1, chunk.stop - chunk.start, 1, 1, 1), float(i == chosen))
            for i, chunk in enumerate(cut)
        ]
        weights.append(_joined(cut, parts))
    assert all(bool((weight >= 0).all()) for weight in weights)
    torch.testing.assert_close(sum(weights), torch.ones(1, frames, 1, 1, 1))


def test_the_later_chunk_gains_linearly():
    first, second = torch.zeros(1, 6, 1, 1, 1), torch.ones(1, 6, 1, 1, 1)
    faded = _joined([slice(0, 6), slice(3, 9)], [first, second]).flatten()
    torch.testing.assert_close(faded, torch.tensor([0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1]))


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (4, 4), (4, -1)])
def test_an_overlap_of_a_whole_chunk_is_refused(size, overlap):
    with pytest.raises(ValueError, match="chunk"):
        chunks(10, size, overlap)

"""Partition of a clip's tokens into windows, its mask and its fragments."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dcvsr.metrics.swin3d_windows import SHIFT, STILL, WINDOW, Axes, Windows

CPU = torch.device("cpu")


def tokens(size: Axes) -> Tensor:
    return torch.rand(2, *size, 3, generator=torch.Generator().manual_seed(0))


@given(size=st.tuples(*(st.integers(1, 17),) * 3), shift=st.sampled_from([STILL, SHIFT]))
@settings(max_examples=40)
def test_join_inverts_split(size: Axes, shift: Axes) -> None:
    x = tokens(size)
    windows = Windows.over(x, shift)
    parts = windows.split(x)
    assert parts[..., 0].numel() >= x[..., 0].numel()
    assert torch.equal(windows.join(parts), x)


def test_a_clip_no_larger_than_a_window_is_one_unshifted_window() -> None:
    x = tokens((5, 7, 3))
    windows = Windows.over(x, SHIFT)
    assert torch.equal(windows.split(x), x.flatten(1, 3)[:, None])
    assert not windows.seam_mask(CPU).any()


def test_without_a_shift_nothing_is_masked() -> None:
    assert not Windows.over(tokens((16, 14, 14)), STILL).seam_mask(CPU).any()


def test_the_mask_separates_exactly_the_tokens_that_rolling_joined() -> None:
    """Of two windows along time shifted by four, one is contiguous and the other joins both ends."""
    mask = Windows((16, 7, 7), WINDOW, (4, 0, 0)).seam_mask(CPU)
    late = torch.arange(392) < 4 * 49
    assert not mask[0].any()
    assert torch.equal(mask[1] == -100, late[:, None] != late)


@pytest.mark.parametrize("side", [7, 14, 28, 56])
def test_fragments_are_sevenths_of_the_frame(side: int) -> None:
    """Compares with the distance counted token by token, unshifted, at each of DOVER's resolutions."""
    windows = Windows((1, side, side), (1, 7, 7), STILL)
    distance = windows.fragment_distance(CPU)
    for n in (0, len(distance) // 2, len(distance) - 1):
        top, left = 7 * (n // (side // 7)), 7 * (n % (side // 7))
        places = [((top + i) // (side // 7), (left + j) // (side // 7)) for i in range(7) for j in range(7)]
        expected = [[abs(a - c) + abs(b - d) for c, d in places] for a, b in places]
        assert distance[n].tolist() == expected


def test_tokens_one_frame_apart_are_in_the_same_fragment() -> None:
    distance = Windows((8, 7, 7), WINDOW, STILL).fragment_distance(CPU)
    assert torch.equal(distance[0, :49, :49], distance[0, :49, 343:])


def test_a_smaller_window_has_fewer_fragments() -> None:
    distance = Windows((1, 2, 14), (1, 2, 7), STILL).fragment_distance(CPU)
    places = [(row, column // 2) for row in range(2) for column in range(7)]
    assert distance[0].tolist() == [[abs(a - c) + abs(b - d) for c, d in places] for a, b in places]

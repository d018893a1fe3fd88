"""Tests of half-size and centre views of clips."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dcvsr.data.clip_views import Centre, Halved
from dcvsr.data.crops import RandomCrops
from dcvsr.data.synthetic import Translation
from dcvsr.runtime.errors import UserError

CLIP = Translation(seed=0, frames=3, height=37, width=50, dx=0.5, dy=0.2)
WHOLE = CLIP.read(0, 3).double()


def test_halved_pixels_are_means_of_2x2():
    half = Halved(CLIP)
    assert half.size == (18, 25)
    expected = sum(WHOLE[..., y:36:2, x:50:2] for y in (0, 1) for x in (0, 1)) / 4  # type: ignore[operator]
    seen = half.read(0, 3)
    assert seen.dtype == torch.uint8
    assert (seen - expected).abs().max() <= 0.5


@pytest.mark.parametrize("side", [1, 16, 17, 37])
def test_the_centre_view_has_equal_margins(side):
    seen = Centre(CLIP, side).read(1, 2)
    top, left = (37 - side) // 2, (50 - side) // 2
    assert torch.equal(seen.double(), WHOLE[1:3, :, top : top + side, left : left + side])


@given(
    view=st.sampled_from([Halved(CLIP), Centre(CLIP, 20)]),
    rows=st.tuples(st.integers(0, 8), st.integers(9, 18)),
    columns=st.tuples(st.integers(0, 8), st.integers(9, 20)),
)
def test_reading_a_part_equals_cropping_the_whole(view, rows, columns):
    part = view.read(0, 2, slice(*rows), slice(*columns))
    assert torch.equal(part, view.read(0, 2)[:, :, slice(*rows), slice(*columns)])


def test_views_can_be_cropped_for_training():
    views = {"half": Halved(CLIP), "middle": Centre(CLIP, 16)}
    crops = RandomCrops(views, frames=3, crop=16, count=4, seed=0, epoch=1)
    assert all(crops[i]["hr"].shape == (3, 3, 16, 16) for i in range(4))
    assert [view.name for view in views.values()] == ["translation-0-halved", "translation-0-centre"]


@pytest.mark.parametrize("side", [0, -1, 38])
def test_a_square_that_does_not_fit_is_an_error(side):
    with pytest.raises(UserError, match=f"translation-0 is 50x37: side must be 1 to 37, got {side}"):
        Centre(CLIP, side)

"""Where a clip's parameters come from."""

from pathlib import Path

import pytest

from dcvsr.degrade.manifest import Entry
from dcvsr.degrade.parameters import DrawnParameters, Replayed
from dcvsr.runtime.errors import UserError
from tests.degradation.making import configured

SHAPE = (3, 3, 32, 48)


def test_they_are_drawn_by_seed_and_name_alone() -> None:
    degradation = configured("realbasicvsr")
    drawn = DrawnParameters(degradation, 0)("a", SHAPE)
    DrawnParameters(degradation, 0)("b", SHAPE)
    assert DrawnParameters(degradation, 0)("a", SHAPE) == drawn
    assert drawn != DrawnParameters(degradation, 0)("b", SHAPE)
    assert drawn != DrawnParameters(degradation, 1)("a", SHAPE)
    assert drawn == DrawnParameters(degradation, 0)("a", (9, *SHAPE[1:]))


def test_a_replay_is_of_the_same_frames_and_size() -> None:
    params = {"reduce": {"kernel": "bicubic", "size": [8, 12]}}
    replayed = Replayed({"a": Entry("a", 3, (48, 32), (12, 8), params)}, Path("lr/manifest.json"))
    assert replayed("a", SHAPE) == params
    for shape, told in {
        (4, 3, 32, 48): "4 frames of 48x32",
        (3, 3, 48, 32): "3 frames of 32x48",
        (3, 3, 32, 52): "3 frames of 52x32",
    }.items():
        said = f"lr/manifest.json has clip a of 3 frames of 48x32, and here it is of {told}; give the same HR"
        with pytest.raises(UserError, match=said):
            replayed("a", shape)

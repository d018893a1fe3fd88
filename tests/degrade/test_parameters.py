"""Tests of drawn and replayed degradation parameters."""

from pathlib import Path

import pytest

from dcvsr.degrade.manifest import Entry
from dcvsr.degrade.parameters import DrawnParameters, Replayed
from dcvsr.runtime.errors import UserError
from tests.degradation.making import configured

SHAPE = (3, 3, 32, 48)


def test_drawn_parameters_depend_on_seed_and_name_alone() -> None:
    degradation = configured("realbasicvsr")
    drawn = DrawnParameters(degradation, 0)("a", SHAPE)
    DrawnParameters(degradation, 0)("b", SHAPE)
    assert DrawnParameters(degradation, 0)("a", SHAPE) == drawn
    assert drawn != DrawnParameters(degradation, 0)("b", SHAPE)
    assert drawn != DrawnParameters(degradation, 1)("a", SHAPE)
    assert drawn == DrawnParameters(degradation, 0)("a", (9, *SHAPE[1:]))


def test_replaying_for_another_length_or_size_is_an_error() -> None:
    params = {"reduce": {"kernel": "bicubic", "size": [8, 12]}}
    replayed = Replayed({"a": Entry("a", 3, (48, 32), (12, 8), params)}, Path("lr/manifest.json"))
    assert replayed("a", SHAPE) == params
    for shape, found in {
        (4, 3, 32, 48): "4 frames of 48x32",
        (3, 3, 48, 32): "3 frames of 32x48",
        (3, 3, 32, 52): "3 frames of 52x32",
    }.items():
        message = f"lr/manifest.json has clip a with 3 frames of 48x32, but HR has {found}; give the same HR"
        with pytest.raises(UserError, match=message):
            replayed("a", shape)

"""Tests of verifying LR clips: pixel differences and their description."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dcvsr.degradation.pipeline import bicubic
from dcvsr.degrade.building import Build
from dcvsr.degrade.hr_clips import ImageFolder
from dcvsr.degrade.parameters import DrawnParameters
from dcvsr.degrade.verification import FrameDifference, Verify
from tests.degradation.making import rng
from tests.degrade.making import images, write_png


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), max_size=5))
def test_the_difference_has_the_largest_level_and_the_pixel_count(changes: list[tuple[int, int]]) -> None:
    """Some pixels of each frame are changed by some levels."""
    difference = FrameDifference()
    for number, (levels, pixels) in enumerate(changes):
        here = torch.randint(10, 240, (3, 4, 5), generator=rng(number), dtype=torch.uint8)
        there = here.clone()
        there.view(3, -1)[number % 3, :pixels] -= levels
        difference = difference.with_frame(str(number), here, there)
    real = {str(number): change for number, change in enumerate(changes) if all(change)}
    assert difference == FrameDifference(
        tuple(real),
        max((levels for levels, _ in real.values()), default=0),
        sum(pixels for _, pixels in real.values()),
        20 * len(changes),
    )


@pytest.mark.parametrize("there", [None, torch.zeros(3, 5, 4, dtype=torch.uint8)])
def test_a_missing_or_resized_frame_differs_everywhere(there: torch.Tensor | None) -> None:
    difference = FrameDifference().with_frame("a", torch.zeros(3, 4, 5, dtype=torch.uint8), there)
    assert difference == FrameDifference(("a",), 255, 20, 20)
    assert str(difference) == "a.png, by up to 255 of 255 levels, 1e+02 % of the pixels"


def test_recompressed_pngs_with_the_same_pixels_are_identical(tmp_path: Path) -> None:
    """Hashes are of pixels, not of files."""
    source = ImageFolder(write_png(tmp_path / "hr", images(2, 16, 16)), "hr")
    drawn = DrawnParameters(bicubic(4), 0)
    entry = Build(source, bicubic(4), drawn, dict, tmp_path / "lr")(lambda _: None)
    for path in (tmp_path / "lr").iterdir():
        with Image.open(path) as image:
            image.load()
        before = path.read_bytes()
        image.save(path, compress_level=0)
        assert path.read_bytes() != before
    verdict = Verify(source, entry, bicubic(4), tmp_path / "lr")(lambda _: None)
    assert verdict.identical
    assert str(verdict) == "identical"

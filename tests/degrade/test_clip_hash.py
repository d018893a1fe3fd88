"""Tests of clip hashes: the documented algorithm, and sensitivity to pixels, order and shape."""

from pathlib import Path

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dcvsr.degrade.clip_hash import Digest
from tests.degradation.making import clip
from tests.degrade.making import digest_by_docstring, images, write_png


def digest(frames: Tensor) -> str:
    count, _, height, width = frames.shape
    hashed = Digest(count, height, width)
    for frame in frames:
        hashed.update(frame)
    return hashed.digits


def test_the_code_in_the_docstring_gives_the_same_hash(tmp_path: Path) -> None:
    frames = images(11, 8, 12)
    write_png(tmp_path / "clip", frames)
    assert digest(torch.stack([torch.tensor(frame).permute(2, 0, 1) for frame in frames])) == (
        digest_by_docstring(tmp_path / "clip")
    )


@given(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 3), st.integers(0, 5)))
def test_any_pixel_changes_the_hash(place: tuple[int, int, int, int]) -> None:
    frames = (clip(3, 4, 6) * 255).byte()
    other = frames.clone()
    other[place] ^= 1
    assert digest(other) != digest(frames)


def test_order_and_shape_change_the_hash() -> None:
    frames = (clip(3, 4, 6) * 255).byte()
    shapes = [(3, 3, 4, 6), (3, 3, 6, 4), (1, 3, 12, 6), (2, 3, 6, 6)]
    assert len({digest(torch.zeros(shape, dtype=torch.uint8)) for shape in shapes}) == len(shapes)
    assert digest(frames.flip(0)) != digest(frames)
    assert digest(frames.flip(1)) != digest(frames)

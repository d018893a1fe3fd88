"""A video fills a canvas larger than itself."""

import pytest
import torch

from dcvsr.tiling.padding import padded


@pytest.mark.parametrize("to", [5, 9, 23])
def test_padding_reflects_as_often_as_it_takes(to):
    row = torch.arange(4.0).reshape(1, 1, 1, 4)
    video = padded(row, 3, 1, to)
    assert video.shape == (3, 1, 1, to)
    assert video[2, 0, 0].tolist() == ([0, 1, 2, 3, 3, 2, 1, 0] * 3)[:to]

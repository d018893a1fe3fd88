"""Laws of the degradations: what a reduction keeps, frame by frame."""

import pytest
import torch

from dcvsr.degradation.pipeline import Bicubic
from dcvsr.errors import UserError
from dcvsr.interpolation import downsample


def test_bicubic_reduces_every_frame_of_every_clip_by_itself() -> None:
    hr = torch.rand(2, 3, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    lr = Bicubic(factor=4)(hr)
    assert lr.shape == (2, 3, 3, 4, 6)
    for clip, frame in [(0, 0), (1, 2)]:
        torch.testing.assert_close(lr[clip, frame], downsample(hr[clip, frame][None])[0])


@pytest.mark.parametrize("factor", [2, 4])
def test_bicubic_keeps_a_flat_picture(factor: int) -> None:
    lr = Bicubic(factor)(torch.full((1, 2, 3, 16, 16), 0.3))
    torch.testing.assert_close(lr, torch.full((1, 2, 3, 16 // factor, 16 // factor), 0.3))


def test_sides_that_do_not_divide_are_refused() -> None:
    with pytest.raises(UserError, match="18x16 cannot be reduced 4 times"):
        Bicubic(factor=4)(torch.zeros(1, 1, 3, 16, 18))

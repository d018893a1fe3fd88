"""Unsharp masking: what it sharpens, what it leaves, and which of HR it is asked for."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from dcvsr.degradation.pipeline import Degradation
from dcvsr.degradation.resize import Reduce
from dcvsr.degradation.sharpen import USM, UnsharpMask
from tests.degradation.making import clip, configured, rng

MASK = UnsharpMask(size=51, sigma=8.0, weight=0.5, threshold=10)


def opencv(frame: Tensor) -> np.ndarray:
    """Spec 5.3; of a width of zero, OpenCV makes 8 for 51 taps."""
    image = np.ascontiguousarray(frame.permute(1, 2, 0).numpy())
    residue = image - cv2.GaussianBlur(image, (51, 51), 0)
    mask = cv2.GaussianBlur((np.abs(residue) * 255 > 10).astype(np.float32), (51, 51), 0)
    return mask * np.clip(image + 0.5 * residue, 0, 1) + (1 - mask) * image


def degradation(source: bool, target: bool) -> Degradation:
    usm = USM(source, target, MASK)
    return Degradation(4, {"sharpen": usm, "reduce": Reduce(4, {"area": 1}, "opencv")}, usm)


@pytest.mark.parametrize("size", [(144, 176), (60, 52), (24, 20)])
def test_it_is_opencv_s(real_clip: Tensor, size: tuple[int, int]) -> None:
    frame = real_clip[0, :, : size[0], : size[1]]
    sharp = MASK(frame)
    assert (sharp - frame).abs().max() > 0.02
    np.testing.assert_allclose(sharp.permute(1, 2, 0).numpy(), opencv(frame), atol=2e-6)


def test_the_configuration_s_numbers_are_the_spec_s() -> None:
    usm = configured("realbasicvsr").usm
    assert usm is not None
    assert usm.mask == MASK
    assert (usm.source, usm.target) == (True, False)


def test_what_is_flat_or_faint_stays_as_it_is() -> None:
    flat = torch.full((3, 64, 64), 0.3)
    torch.testing.assert_close(MASK(flat), flat)
    faint = flat + (torch.rand(3, 64, 64, generator=rng()) - 0.5) * 10 / 255
    torch.testing.assert_close(MASK(faint), faint)


def test_an_edge_gets_steeper_and_stays_in_range() -> None:
    edge = torch.cat([torch.full((3, 64, 32), 0.2), torch.full((3, 64, 32), 0.9)], dim=2)
    sharp = MASK(edge)
    assert sharp[:, :, 31].max() < 0.15
    assert sharp[:, :, 32].min() > 0.95
    assert 0 <= sharp.min() <= sharp.max() <= 1


@pytest.mark.parametrize("source", [True, False])
@pytest.mark.parametrize("target", [True, False])
def test_source_sharpens_what_lr_is_made_from_and_target_what_the_loss_sees(
    source: bool, target: bool
) -> None:
    hr = clip(2, 64, 64)
    sharp = torch.stack([MASK(frame) for frame in hr])
    chosen = degradation(source, target)
    params = chosen.draw(rng(), hr.shape)
    assert params["sharpen"] == ({} if source else None)
    plain = degradation(False, False)
    lr = plain.apply(plain.draw(rng(), hr.shape), sharp if source else hr)
    assert torch.equal(chosen.apply(params, hr), lr)
    assert torch.equal(chosen.target(hr), sharp if target else hr)


def test_without_a_mask_the_loss_sees_hr() -> None:
    hr = clip(2, 16, 16)
    assert replace(degradation(True, True), usm=None).target(hr) is hr

"""Tests of the target size of an upscaling."""

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dcvsr.baselines.interpolation import Upsampling
from dcvsr.imaging import to_bytes, to_unit, upsample
from dcvsr.models.upscaler import TiledUpscaler
from dcvsr.runtime.errors import UserError
from dcvsr.upscaling.target_size import TargetSize, resampled, to_target
from dcvsr.video.io import read_video
from tests.conftest import TINY_MODEL
from tests.data.making import make_video, noise
from tests.upscaling.making import make_upscaler

BICUBIC = Upsampling()


class Network(nn.Module):
    """An upsampling network that was trained for x4."""

    def forward(self, lr):
        return upsample(lr).square()


@pytest.mark.parametrize(
    ("keys", "hr"),
    [
        ((None, None, 4), (576, 704)),
        ((None, None, 2), (288, 352)),
        ((None, None, 1), (144, 176)),
        ((None, None, "2.5"), (360, 440)),
        (("640x480", None, 4), (480, 640)),
        ((" 641X481 ", None, 4), (481, 641)),
        ((None, 1080, 4), (1080, 1320)),
        ((None, 719, 4), (719, 878)),
    ],
)
def test_the_result_has_the_size_that_was_asked_for(keys, hr):
    assert to_target(BICUBIC, (144, 176), (144, 176), *keys)[1].hr == hr


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (("640", None, 4), "size=640 is not WIDTHxHEIGHT; pass such as size=1920x1080"),
        (("640x480", 480, 4), "size=640x480 and height=480 exclude each other"),
        ((None, 480, 2), "height=480 and factor=2 exclude each other"),
        ((None, 100, 4), "height=100 makes 100 pixels of 144, 0.694 times as many; choose 1 to 8"),
        (("1440x576", None, 4), "size=1440x576 makes 1440 pixels of 176, 8.18 times"),
        (("0x576", None, 4), "size=0x576 makes 0 pixels of 176"),
    ],
)
def test_a_size_that_cannot_be_is_one_line(keys, message):
    with pytest.raises(UserError, match=message):
        to_target(BICUBIC, (144, 176), (144, 176), *keys)


def test_a_region_grows_as_the_whole_does():
    assert to_target(BICUBIC, (144, 176), (30, 41), None, 288, 4)[1].hr == (60, 82)


@given(st.integers(1, 40), st.integers(1, 40), st.floats(1, 8))
def test_what_a_network_makes_four_times_as_large_is_never_smaller_than_the_result(height, width, factor):
    upscaler = Upsampling(Network())
    _, target = to_target(upscaler, (height, width), (height, width), None, None, factor)
    for given_, lr, hr in zip(target.inputs, target.lr, target.hr, strict=True):
        assert max(lr, hr / 4) <= given_ <= max(lr, hr / 4 + 1)


@pytest.mark.parametrize("factor", [1, 2, 3, 5, 8])
def test_bicubic_upsampling_goes_to_the_target_at_once(factor):
    lr = torch.rand(2, 3, 9, 7)
    upscaler, target = to_target(BICUBIC, (9, 7), (9, 7), None, None, factor)
    assert torch.allclose(target.after(upscaler(target.before(lr))), upsample(lr, factor), atol=1e-6)


def test_svd_conditions_on_i_up_of_the_target_size():
    """Its I^up is bicubic."""
    lr, upscaler = torch.rand(4, 3, 9, 7), make_upscaler()
    adapted, target = to_target(upscaler, (9, 7), (9, 7), None, None, 2)
    assert isinstance(adapted, TiledUpscaler)
    assert target == TargetSize((9, 7), (18, 14), (18, 14))
    seen = adapted.condition(target.before(lr)[None]).up[0]
    assert torch.allclose(seen, upsample(lr, 2), atol=1e-6)
    assert adapted(target.before(lr)).shape == (4, 3, 18, 14)


@pytest.mark.parametrize(("factor", "inputs"), [(2, (9, 7)), (6, (14, 11))])
def test_a_network_for_x4_receives_larger_lr_or_its_result_is_made_smaller(factor, inputs):
    lr, upscaler = torch.rand(2, 3, 9, 7), Upsampling(Network())
    adapted, target = to_target(upscaler, (9, 7), (9, 7), None, None, factor)
    assert (adapted, target.inputs) == (upscaler, inputs)
    expected = resampled(upscaler(resampled(lr, inputs)), (9 * factor, 7 * factor))
    assert torch.equal(target.after(adapted(target.before(lr))), expected)


def test_a_constant_stays_and_a_smaller_result_has_no_alias():
    grey = torch.full((1, 3, 16, 16), 0.3)
    assert torch.allclose(resampled(grey, (7, 5)), torch.full((1, 3, 7, 5), 0.3))
    stripes = (torch.arange(64) % 2).float().expand(1, 3, 64, 64)
    assert resampled(stripes, (64, 20))[..., 3:-3].std() < 0.02


def test_the_place_of_a_region_is_that_of_what_the_upscaler_receives():
    target = TargetSize((9, 7), (18, 21), (18, 21))
    assert target.scaled((5, 4, 3)) == (5, 8, 9)


def test_the_command_makes_odd_sizes_and_warns_of_them_once(run, tmp_path):
    make_video(tmp_path / "a.mp4", noise(2, 16, 24))
    torch.manual_seed(0)
    done = run("upscale", *TINY_MODEL, "ckpt=null", "input=a.mp4", "output=b", "size=61x33")
    assert done.code == 0, done.err
    assert read_video(tmp_path / "b").frames.shape == (2, 3, 33, 61)
    report = json.loads((tmp_path / "b.json").read_text())
    assert report["size"] == [61, 33]
    assert any("stretches the picture; height=33 keeps its shape" in line for line in report["warnings"])


def test_the_command_and_bicubic_agree(run, tmp_path):
    make_video(tmp_path / "a.mkv", noise(2, 16, 24), "ffv1", "bgr0")
    assert run("upscale", "upscaler=bicubic", "input=a.mkv", "output=b", "factor=3").code == 0
    lr = to_unit(read_video(tmp_path / "a.mkv").frames)
    assert torch.equal(read_video(tmp_path / "b").frames, to_bytes(upsample(lr, 3)))


def test_a_plan_has_the_size_of_the_result(run, tmp_path):
    make_video(tmp_path / "a.mp4", noise(2, 16, 24))
    done = run("plan", *TINY_MODEL, "ckpt=null", "input=a.mp4", "height=48", "json=plan.json", "probe=false")
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "plan.json").read_text())["hr"] == [72, 48]


def test_an_upscaler_that_is_adapted_keeps_its_settings():
    upscaler = make_upscaler(seed=4)
    adapted, _ = to_target(upscaler, (9, 7), (9, 7), None, None, 2)
    assert isinstance(adapted, TiledUpscaler)
    assert replace(adapted, factor=4, upsample=upscaler.upsample) == upscaler

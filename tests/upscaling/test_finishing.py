"""Tests of finishing HR frames against I^up."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dcvsr.imaging import to_bytes, to_unit, upsample
from dcvsr.models.colour_correction import low_frequencies
from dcvsr.upscaling.finishing import Finishing, colour_error
from dcvsr.video.io import read_video
from tests.conftest import TINY_MODEL
from tests.data.making import make_video, noise

UP, HR = torch.rand(2, 2, 3, 40, 33, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.2


def test_by_default_nothing_changes():
    assert torch.equal(Finishing("none", 1)(HR, UP), HR)


@pytest.mark.parametrize("colour", ["none", "wavelet", "adain"])
def test_strength_0_is_i_up(colour):
    assert torch.allclose(Finishing(colour, 0)(HR, UP), UP, atol=1e-6)


@given(st.floats(0, 1))
def test_strength_blends_linearly(strength):
    assert torch.allclose(Finishing("none", strength)(HR, UP), UP + strength * (HR - UP), atol=1e-6)


def test_a_colour_cast_is_removed_and_detail_stays():
    cast = HR + torch.tensor([0.2, -0.1, 0.05])[:, None, None]
    found = Finishing("wavelet", 1)(cast, UP)
    assert torch.allclose(low_frequencies(found), low_frequencies(UP), atol=0.03)
    detail = cast - low_frequencies(cast)
    assert (
        torch.corrcoef(torch.stack([detail.flatten(), (found - low_frequencies(found)).flatten()]))[0, 1]
        > 0.99
    )
    assert Finishing("adain", 1)(cast, UP).mean((0, 2, 3)) == pytest.approx(UP.mean((0, 2, 3)), abs=1e-3)


def test_the_colour_error_is_that_of_a_cast_in_levels():
    finishing = Finishing("none", 1)
    finishing(UP + 3 / 255, UP)
    assert finishing.report() == pytest.approx({"mean": 3, "max": 3}, rel=1e-4)


def test_detail_alone_is_no_colour_error():
    checks = (torch.arange(64)[:, None] + torch.arange(64)) % 2
    assert colour_error(0.5 + 0.2 * (checks - 0.5).expand(3, 64, 64), torch.full((3, 64, 64), 0.5)) < 1e-3


def test_alpha_stays():
    rgba = torch.cat([HR, torch.full((2, 1, 40, 33), 0.3)], dim=1)
    assert torch.equal(Finishing("wavelet", 0.5)(rgba, UP)[:, 3:], rgba[:, 3:])


def test_chunks_are_finished_as_the_whole():
    finishing = Finishing("wavelet", 0.7)
    whole = finishing(HR, UP)
    chunks = finishing.all(HR.split(1), lambda frames: UP[frames.start : frames.stop])
    assert torch.allclose(torch.cat(list(chunks)), whole)


@pytest.fixture
def upscaled(run, tmp_path):
    """A video, and its lossless result of random weights."""
    make_video(tmp_path / "a.mkv", noise(3, 16, 24), "ffv1", "bgr0")
    torch.manual_seed(0)
    assert run("upscale", *TINY_MODEL, "ckpt=null", "input=a.mkv", "output=big").code == 0
    return run


def test_strength_0_of_the_command_is_bicubic(upscaled, tmp_path):
    done = upscaled("finish", "input=a.mkv", "result=big", "output=out", "strength=0")
    assert done.code == 0, done.err
    expected = upsample(to_unit(read_video(tmp_path / "a.mkv").frames))
    assert torch.equal(read_video(tmp_path / "out").frames, to_bytes(expected))
    assert json.loads((tmp_path / "out.json").read_text())["colour_error"]["max"] == pytest.approx(
        0, abs=1e-3
    )


def test_the_command_does_what_upscale_does_on_the_way(upscaled, tmp_path):
    keys = "colour=wavelet", "strength=0.5"
    torch.manual_seed(0)
    assert upscaled("upscale", *TINY_MODEL, "ckpt=null", "input=a.mkv", "output=at_once", *keys).code == 0
    assert upscaled("finish", "input=a.mkv", "result=big", "output=later", *keys).code == 0
    at_once, later, raw = (read_video(tmp_path / name).frames for name in ("at_once", "later", "big"))
    assert torch.equal(at_once, later)
    assert not torch.equal(later, raw)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["input=b.mkv", "result=big"], "b.mkv has 2 frames, big has 3; pass the whole video"),
        (["input=big", "result=a.mkv"], "big is 96x64, a.mkv 24x16; pass a result that is 1 to 8 times"),
        (["input=a.mkv", "result=big", "strength=2"], "strength=2 is not a number from 0 to 1"),
        (["input=a.mkv", "result=none"], "none does not exist"),
    ],
)
def test_what_does_not_belong_together_is_one_line(upscaled, tmp_path, arguments, message):
    make_video(tmp_path / "b.mkv", noise(2, 16, 24), "ffv1", "bgr0")
    done = upscaled("finish", *arguments, "output=out")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert message in done.err
    assert not (tmp_path / "out").exists()

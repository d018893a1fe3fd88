"""Whole degradations: drawn as the paper's table says, replayed bit for bit, at any size."""

import json
import math
from itertools import islice
from typing import Any

import pytest
import torch
from hydra.errors import InstantiationException
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dcvsr.degradation.pipeline import Degradation, Given, bicubic
from dcvsr.degradation.resample import Antialiased
from dcvsr.degradation.seeds import generator
from dcvsr.degradation.walk import walked
from dcvsr.runtime.errors import UserError
from tests.comparing import apart
from tests.degradation.making import clip, configured, drawn_as_often, rng, uniform_between

ALL = ["realbasicvsr", "light", "bicubic"]
THIRDS = {"bilinear": 1, "area": 1, "bicubic": 1}
KINDS = {
    "iso": 0.405,
    "aniso": 0.225,
    "generalized_iso": 0.108,
    "generalized_aniso": 0.027,
    "plateau_iso": 0.108,
    "plateau_aniso": 0.027,
    "sinc": 0.1,
}
ROUNDS = {
    1: {
        "blur": 1.0,
        "sigma": (0.2, 3),
        "resize": {"up": 0.2, "down": 0.7, "keep": 0.1},
        "scale": (0.15, 1.5, 0.015),
        "gaussian": (1, 30, 0.1),
        "poisson": (0.05, 3, 0.005),
    },
    2: {
        "blur": 0.8,
        "sigma": (0.2, 1.5),
        "resize": {"up": 0.3, "down": 0.4, "keep": 0.3},
        "scale": (0.3, 1.2, 0.03),
        "gaussian": (1, 25, 0.1),
        "poisson": (0.05, 2.5, 0.005),
    },
}
"""Spec 5.2's table, stage 1 and stage 2, where they differ."""


def replay(degradation: Degradation, params: Any, frames: Tensor) -> Tensor:
    return degradation.apply(json.loads(json.dumps(params)), frames)


@pytest.fixture(scope="module")
def drawn() -> list[dict[str, Any]]:
    degradation, draws = configured("realbasicvsr"), rng()
    return [degradation.draw(draws, (2, 3, 64, 64)) for _ in range(3000)]


def walk(params: dict[str, Any]) -> tuple[float, float, float]:
    return params["low"], params["high"], params["step"]


@pytest.mark.parametrize("number", [1, 2])
def test_blur_is_drawn_as_the_table_says(number: int, drawn: list[dict[str, Any]]) -> None:
    table, all_blurs = ROUNDS[number], [params[f"blur{number}"] for params in drawn]
    blurs = [blur for blur in all_blurs if blur]
    assert len(blurs) / len(all_blurs) == pytest.approx(table["blur"], abs=0.03 if table["blur"] < 1 else 0)
    assert drawn_as_often((blur["kind"] for blur in blurs), KINDS)
    assert drawn_as_often((blur["size"] for blur in blurs), dict.fromkeys(range(7, 22, 2), 1))
    low, high = table["sigma"]
    for name, limits in {
        "sigma_x": (low, high, 0.02),
        "sigma_y": (low, high, 0.02),
        "angle": (-math.pi, math.pi, 0.31416),
        "beta_gaussian": (0.5, 4, 0.05),
        "beta_plateau": (1, 2, 0.1),
    }.items():
        walks = [blur[name] for blur in blurs if name in blur]
        assert walks
        assert all(walk(w) == pytest.approx(limits, abs=1e-5) for w in walks)
        assert all(limits[0] - 1e-5 <= w["start"] <= limits[1] + 1e-5 for w in walks)
    for blur in blurs:
        if blur["kind"] == "sinc":
            lowest = math.pi / 3 if blur["size"] < 13 else math.pi / 5
            assert walk(blur["omega"]) == pytest.approx((lowest, math.pi, 0.0628), abs=1e-5)
    assert uniform_between((b["sigma_x"]["start"] for b in blurs if "sigma_x" in b), low, high)


@pytest.mark.parametrize("number", [1, 2])
def test_resizing_is_drawn_as_the_table_says(number: int, drawn: list[dict[str, Any]]) -> None:
    table, resizes = ROUNDS[number], [params[f"resize{number}"] for params in drawn]
    starts = [resize["scale"]["start"] for resize in resizes]
    modes = ["keep" if start == 1 else "up" if start > 1 else "down" for start in starts]
    assert drawn_as_often(modes, table["resize"])
    low, high, _ = table["scale"]
    assert uniform_between((start for start in starts if start > 1), 1, high)
    assert uniform_between((start for start in starts if start < 1), low, 1)
    assert all(walk(resize["scale"]) == table["scale"] for resize in resizes)
    assert drawn_as_often((resize["kernel"] for resize in resizes), THIRDS)


@pytest.mark.parametrize("number", [1, 2])
def test_noise_is_drawn_as_the_table_says(number: int, drawn: list[dict[str, Any]]) -> None:
    table, noises = ROUNDS[number], [params[f"noise{number}"] for params in drawn]
    assert drawn_as_often((noise["kind"] for noise in noises), {"gaussian": 1, "poisson": 1})
    for kind in ("gaussian", "poisson"):
        some = [noise for noise in noises if noise["kind"] == kind]
        assert drawn_as_often((noise["colours"] for noise in some), {"gray": 0.4, "colour": 0.6})
        assert all(walk(noise["strength"]) == table[kind] for noise in some)
        assert uniform_between((noise["strength"]["start"] for noise in some), *table[kind][:2])


@pytest.mark.parametrize("number", [1, 2])
def test_compression_is_drawn_as_the_table_says(number: int, drawn: list[dict[str, Any]]) -> None:
    qualities = [params[f"jpeg{number}"]["quality"] for params in drawn]
    assert all(walk(quality) == (30, 95, 3) for quality in qualities)
    assert uniform_between((quality["start"] for quality in qualities), 30, 95)
    videos = [params["video1"] if number == 1 else params["last"]["video2"] for params in drawn]
    # libx264 and "h264" are one encoder: two thirds.
    assert drawn_as_often((video["codec"] for video in videos), {"libx264": 2, "mpeg4": 1})
    assert uniform_between((video["bit_rate"] for video in videos), 1e4, 1e5)


def test_the_last_stage_is_drawn_as_the_table_says(drawn: list[dict[str, Any]]) -> None:
    lasts = [params["last"] for params in drawn]
    assert drawn_as_often((tuple(last) for last in lasts), {("video2", "reduce"): 1, ("reduce", "video2"): 1})
    assert drawn_as_often((last["reduce"]["resize"]["kernel"] for last in lasts), THIRDS)
    assert all(last["reduce"]["resize"]["size"] == [16, 16] for last in lasts)
    sincs = [last["reduce"]["sinc"] for last in lasts]
    assert drawn_as_often((sinc is not None for sinc in sincs), {True: 0.8, False: 0.2})
    some = [sinc for sinc in sincs if sinc]
    assert all(walk(s["omega"]) == pytest.approx((math.pi / 3, math.pi, 0.0628), abs=1e-5) for s in some)
    assert drawn_as_often((sinc["size"] for sinc in some), dict.fromkeys(range(7, 22, 2), 1))


def test_light_is_the_second_round_halved_towards_no_change() -> None:
    heavy, light = configured("realbasicvsr"), configured("light")
    assert "sharpen" not in light.steps

    def halved(name: str, part: str, nothing: float) -> None:
        there, here = getattr(heavy.steps[f"{name}2"], part), getattr(light.steps[name], part)
        assert (here.low, here.high) == pytest.approx(
            tuple((side + nothing) / 2 for side in (there.low, there.high)),
            abs=0.51 if part == "quality" else 1e-6,
        )
        assert here.step == there.step

    halved("resize", "scale", 1)
    halved("noise", "sigma", 0)
    halved("noise", "scale", 0)
    halved("jpeg", "quality", 100)
    blurs = [degradation.steps[name].step for degradation, name in ((heavy, "blur2"), (light, "blur"))]  # type: ignore[attr-defined]
    for part, nothing in {
        "sigma_x": 0,
        "sigma_y": 0,
        "beta_gaussian": 1,
        "beta_plateau": 1,
        "omega_small": math.pi,
    }.items():
        there, here = (getattr(blur, part) for blur in blurs)
        assert (here.low, here.high) == pytest.approx(
            ((there.low + nothing) / 2, (there.high + nothing) / 2), abs=1e-5
        )
    assert blurs[0].kinds == blurs[1].kinds


@pytest.mark.parametrize("name", ALL)
def test_replay_is_exact_frame_by_frame_and_whatever_else_is_drawn(name: str, real_clip: Tensor) -> None:
    degradation = configured(name)
    for number in range(3):
        params = degradation.draw(generator(number), real_clip.shape)
        lr = degradation.apply(params, real_clip)
        assert lr.shape == (10, 3, 36, 44)
        assert torch.equal(lr * 255, (lr * 255).round())
        torch.manual_seed(number)
        assert torch.equal(replay(degradation, params, real_clip), lr)
        assert torch.equal(torch.stack(list(degradation.frames(params, iter(real_clip)))), lr)
        *_, (_, last) = degradation.stages(params, real_clip)
        assert torch.equal((torch.stack(last) * 255).round().clamp(0, 255) / 255, lr)


@pytest.mark.parametrize("name", ALL)
def test_the_number_of_threads_changes_nothing(name: str, real_clip: Tensor) -> None:
    degradation = configured(name)
    hr = real_clip[:4]
    params = degradation.draw(generator(5), hr.shape)
    made = []
    for count in (1, 2):
        torch.set_num_threads(count)
        made.append(degradation.apply(params, hr))
    assert torch.equal(*made)


@pytest.mark.parametrize("name", ["realbasicvsr", "light"])
def test_without_a_codec_a_frame_does_not_know_of_later_ones(name: str, real_clip: Tensor) -> None:
    degradation = configured(name, "degradation.codec=none")
    for number in range(4):
        params = degradation.draw(generator(number), real_clip.shape)
        assert torch.equal(degradation.apply(params, real_clip[:4]), degradation.apply(params, real_clip)[:4])


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=12)
@given(data=st.data())
def test_any_size_and_any_number_of_frames_down_to_16x16_and_one(name: str, data: st.DataObject) -> None:
    frames, height, width = (data.draw(st.integers(*ends)) for ends in ((1, 4), (16, 60), (16, 60)))
    degradation, hr = configured(name), clip(frames, height, width)
    if height % 4 or width % 4:
        with pytest.raises(UserError, match=f"frames of {width}x{height} cannot be downsampled 4 times"):
            degradation.draw(rng(), hr.shape)
        return
    params = degradation.draw(generator(data.draw(st.integers(0, 10**6))), hr.shape)
    lr = degradation.apply(params, hr)
    assert lr.shape == (frames, 3, height // 4, width // 4)
    assert lr.isfinite().all()
    assert torch.equal(replay(degradation, params, hr), lr)


def test_parameters_are_a_few_kilobytes_whatever_the_length() -> None:
    degradation = configured("realbasicvsr")
    long = json.dumps(degradation.draw(generator(0), (10000, 3, 720, 1280)))
    assert len(long) < 3000


def test_values_walk_within_the_clip(drawn: list[dict[str, Any]]) -> None:
    for params in drawn[:50]:
        quality = params["jpeg1"]["quality"]
        values = list(islice(walked(quality), 300))
        assert 30 <= min(values) <= max(values) <= 95
        assert len(set(values)) > 100


def test_bicubic_is_interpolation_and_nothing_else(real_clip: Tensor) -> None:
    lr = bicubic(4).apply(bicubic(4).draw(rng(), real_clip.shape), real_clip)
    expected = torch.stack([Antialiased()(frame, (36, 44), "bicubic") for frame in real_clip])
    assert torch.equal(lr, (expected * 255).round().clamp(0, 255) / 255)


def test_lr_that_is_given_is_not_made() -> None:
    with pytest.raises(UserError, match="degradation=none does not make LR"):
        Given(4, {}).draw(rng(), (1, 3, 16, 16))


def test_hr_is_sharpened_for_the_loss_only_where_asked(real_clip: Tensor) -> None:
    assert torch.equal(configured("realbasicvsr").target(real_clip), real_clip)
    sharp = configured("realbasicvsr", "degradation.usm.target=true").target(real_clip)
    assert sharp.shape == real_clip.shape
    assert apart(sharp, real_clip)
    params = configured("realbasicvsr", "degradation.usm.source=false").draw(rng(), real_clip.shape)
    assert params["sharpen"] is None


@pytest.mark.parametrize(
    ("key", "choices"),
    [("jpeg", "auto, kornia or libjpeg"), ("codec", "pyav or none"), ("resample", "opencv or antialiased")],
)
@pytest.mark.parametrize("name", ["realbasicvsr", "light"])
def test_an_unknown_implementation_is_refused_with_those_known(name: str, key: str, choices: str) -> None:
    with pytest.raises(InstantiationException) as refused:
        configured(name, f"degradation.{key}=odd")
    assert f"'odd' is not a choice; choose {choices}" in str(refused.value.__cause__)

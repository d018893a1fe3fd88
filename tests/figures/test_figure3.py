"""Tests of the figure3 command."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from dcvsr.data.synthetic import Translation
from dcvsr.diffusion.schedule import suppression
from dcvsr.video.io import to_unit
from tests.conftest import TINY_MODEL


@pytest.fixture
def figure3(run):
    def invoke(*arguments: str):
        torch.manual_seed(0)
        return run("figure3", *TINY_MODEL, "ckpt=null", *arguments)

    return invoke


def halves(path):
    """Return the two pictures without the labels below."""
    sheet = np.asarray(Image.open(path)).astype(float)
    return sheet[:80, :96], sheet[:80, 96:]


def test_both_estimates_are_drawn_side_by_side_and_differ(figure3, clip, tmp_path):
    done = figure3(f"input={clip}", "output=f.png", "sampler.steps=4", "frame=2")
    assert done.code == 0, done.err
    without, with_dssag = halves(tmp_path / "f.png")
    assert without.shape == with_dssag.shape == (80, 96, 3)
    assert (without != with_dssag).mean() > 0.02
    assert np.abs(without - with_dssag).max() < 128


def test_the_json_has_gamma_and_sigma_of_the_papers_step(figure3, clip, tmp_path):
    assert figure3(f"input={clip}", "output=f.png", "sampler.steps=25", "dry_run=true").code == 0
    done = figure3(f"input={clip}", "output=f.png", "sampler.steps=3")
    report = json.loads((tmp_path / "f.png.json").read_text())
    assert (report["step"], report["steps"], report["frame"]) == (1, 3, 0)
    sampler = report["settings"]["sampler"]
    gamma = suppression(report["sigma"], 0.5, 0.002, 700)
    assert report["gamma"] == gamma
    assert sampler["sigma_min"] < report["sigma"] < sampler["sigma_max"]
    assert f"gamma = {gamma:.4g}" in done.out


def test_detail_is_suppressed_at_the_last_level_of_nano(figure3, clip, tmp_path):
    """Guidance is active at this level; anchored at the sampler's levels, gamma would be 0 and DSSAG CFG."""
    assert figure3(f"input={clip}", "output=f.png", "step=1").code == 0
    report = json.loads((tmp_path / "f.png.json").read_text())
    assert report["sigma"] == report["settings"]["sampler"]["sigma_min"] == 15
    assert report["gamma"] == pytest.approx(0.836, abs=5e-4)
    without, with_dssag = halves(tmp_path / "f.png")
    assert (without != with_dssag).mean() > 0.02


def test_rho_changes_the_estimate_at_the_last_level_of_nano(figure3, clip, tmp_path):
    pictures = []
    for rho in (0.25, 2):
        last_only = ("step=1", "guidance.interval.hi=20", f"guidance.rho={rho}")
        done = figure3(f"input={clip}", "output=f.png", *last_only)
        assert done.code == 0, done.err
        pictures.append(halves(tmp_path / "f.png"))
    (plain, quarter), (plain_again, two) = pictures
    assert np.array_equal(plain, plain_again)
    assert not np.array_equal(quarter, two)


def test_without_suppression_both_estimates_are_equal(figure3, clip, tmp_path):
    """gamma is 0 at the lower anchor of Eq. (10)."""
    assert figure3(f"input={clip}", "output=f.png", "step=1", "guidance.sigma_min=15").code == 0
    assert json.loads((tmp_path / "f.png.json").read_text())["gamma"] == 0
    without, with_dssag = halves(tmp_path / "f.png")
    assert np.array_equal(without, with_dssag)


def test_the_default_of_25_steps_is_step_9(figure3, clip, tmp_path):
    done = figure3(f"input={clip}", "output=f.png", "sampler.steps=25", "dry_run=true")
    assert "step 9 of 25" in done.out
    assert not list(tmp_path.glob("f.*"))


def test_only_the_window_around_the_frame_is_computed(figure3, tmp_path):
    """A long clip and its window of four frames give the same picture."""
    frames = to_unit(Translation(seed=0, frames=9, height=20, width=24, dx=0.5, dy=0.2).read(0, 9))
    for name, part in (("long", frames), ("cut", frames[4:8])):
        (tmp_path / name).mkdir()
        for i, frame in enumerate(part):
            pixels = (255 * frame).round().to(torch.uint8).permute(1, 2, 0).numpy()
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    assert figure3("input=long", "output=long.png", "frame=6").code == 0
    assert json.loads((tmp_path / "long.png.json").read_text())["frames"] == [4, 7]
    assert figure3("input=cut", "output=cut.png", "frame=2").code == 0
    assert np.array_equal(*(np.asarray(Image.open(tmp_path / f"{name}.png")) for name in ("long", "cut")))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["output=f.png", "step=2"], "step must be one of the 2 of the sampler, 0 to 1, got 2"),
        (["output=f.png", "step=mid"], "step=mid is not a whole number"),
        (["output=f.png", "frame=-1"], "frame=-1 is not a whole number of 0 or more"),
        (["output=f.jpg"], "f.jpg: end it in .png"),
        (["output=folder.png"], "folder.png is a folder"),
        (["output=nowhere/f.png"], "nowhere"),
        (["output=f.png", "guidance=cfg"], "guidance=dssag"),
        (["output=f.png", "upscaler=bicubic"], "use upscaler=dcvsr"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(figure3, clip, tmp_path, arguments, said):
    shutil.copy(clip, tmp_path / "clip.mp4")
    (tmp_path / "folder.png").mkdir()
    done = figure3("input=clip.mp4", *arguments)
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert said in done.err
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "outputs") == [
        "clip.mp4",
        "folder.png",
    ]

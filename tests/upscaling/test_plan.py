"""A plan says what the job then takes."""

import json

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from dcvsr.models.svd_architecture import without_weights
from dcvsr.runtime.cli import CONF
from tests.conftest import TINY_MODEL

TINY = [*TINY_MODEL, "ckpt=null"]


def test_a_plan_is_what_the_job_takes(run, clip, tmp_path):
    planned = run("plan", *TINY, f"input={clip}", "json=plan.json")
    assert planned.code == 0, planned.err
    plan = json.loads((tmp_path / "plan.json").read_text())
    done = run("upscale", *TINY, f"input={clip}", "output=big", "engine.keep=true")
    assert done.code == 0, done.err
    report = json.loads((tmp_path / "big.json").read_text())
    assert plan["evaluations"] == report["cost"]["evaluations"] > 0
    assert plan["flops"] == report["cost"]["flops"]
    assert (plan["frames"], plan["hr"]) == (report["frames"], report["size"])
    stores = [file for file in (tmp_path / "big.part").iterdir() if file.is_file() and not file.suffix]
    assert plan["disk"] == pytest.approx(sum(file.stat().st_size for file in stores), rel=0.01)
    assert set(plan["seconds"]) == {"encoding", "sampling", "decoding"}
    assert min(plan["seconds"].values()) > 0
    assert f"{plan['evaluations']} U-Net evaluations" in planned.out


def test_svd_is_planned_without_weights(run, clip):
    done = run("plan", "scale=svd", f"input={clip}", "frames=2", "sampler.steps=2")
    assert done.code == 0, done.err
    assert "2 windows of up to 1 tiles, 4 U-Net evaluations" in done.out
    assert "memory: 9 GB of weights" in done.out
    assert "time" not in done.out


@pytest.mark.parametrize(
    ("changes", "evaluations"),
    [
        (["guidance=dssag"], 5600),
        (["guidance=none", "sampler.steps=2"], 224),
        (["guidance=none", "sampler.steps=1", "propagation.joint=true"], 112),
    ],
)
def test_evaluations_of_a_clip_of_reds4(changes, evaluations):
    """100 frames of 1280x720: 25 guided steps, and what stage 3 leaves of them."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("upscale", ["scale=svd", "input=a", "output=b.mp4", *changes])
    assert instantiate(without_weights(cfg).upscaler, _convert_="all").work(100, 180, 320) == evaluations


def test_a_baseline_has_no_plan(run, clip):
    done = run("plan", "upscaler=bicubic", f"input={clip}")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "plan is for the method itself; leave upscaler= out" in done.err


def test_memory_that_is_given_chooses_the_exchange(run, clip, tmp_path):
    """Two passes hold less than tiles in lockstep; what nothing fits into is refused with the need."""
    common = [*TINY, f"input={clip}", "probe=false", "propagation=sap", "tile.size=8"]
    wide = run("plan", *common, "json=wide.json")
    needed = json.loads((tmp_path / "wide.json").read_text())["memory"]["sampling"]
    tight = run("plan", *common, f"engine.memory={0.9 * needed / 1e9}", "json=tight.json")
    assert (wide.code, tight.code) == (0, 0), tight.err
    before, after = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("wide", "tight"))
    assert after["memory"]["sampling"] <= 0.9 * needed
    assert after["evaluations"] == 2 * before["evaluations"]
    refused = run("plan", *common, "engine.memory=0.0001")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "engine.memory=0.0001 leaves 0.0001 GB, and this video needs" in refused.err


@pytest.mark.parametrize("memory", ["0", "-1", "much", "true"])
def test_memory_that_is_no_size_is_refused(run, clip, memory):
    done = run("plan", *TINY, f"input={clip}", f"engine.memory={memory}")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "is not a number above 0, or auto, or null" in done.err

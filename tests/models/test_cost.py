"""The ledger agrees with torch's own count of the run."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dcvsr.attention.observer import Observer
from dcvsr.baselines.interpolation import Upsampling
from dcvsr.models.cost import Ledger, flat
from dcvsr.models.flops import Flops
from dcvsr.models.planned_cost import PlannedCost
from dcvsr.runtime.cli import CONF
from tests.conftest import TINY_MODEL

SMALL = ("tile.size=12", "tile.overlap=0.25", "sampler.steps=1")


class Bytes(Observer):
    def __init__(self):
        self.numbers = Counter(sap=0, tap=0)

    def exchanged(self, place, layer, k, v):
        self.numbers[place.scheme] += 4 * (k.numel() + v.numel())


def make(*overrides: str):
    torch.manual_seed(0)
    given = ["input=a", "output=b.mp4", "ckpt=null", "precision=float32", *TINY_MODEL, *SMALL, *overrides]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return instantiate(compose("upscale", given).upscaler, _convert_="all")


RUNS = {
    "plain": ["propagation=none"],
    "sap": ["propagation=sap"],
    "two_pass": ["propagation=sap", "propagation.sap.exchange=two_pass"],
    "sap_cfg": ["propagation=sap", "guidance=cfg"],
    "tap": ["propagation=tap"],
    "clean": ["propagation=tap", "propagation.tap.source=clean"],
    "both": ["propagation=tap", "propagation.tap.direction=both"],
    "joint": ["propagation.joint=true", "sampler.steps=2"],
    "dssag": ["guidance=dssag", "sampler.steps=2"],
    "shifted": ["guidance=cfg", "tile.schedule=shifted", "upscaler.batch=null", "sampler.steps=2"],
    "heun": ["propagation=none", "sampler.solver=heun", "sampler.steps=2"],
}
GUIDED = {
    "conditional": ["propagation=sap", "propagation.branches=conditional", "guidance=sag"],
    "interval": ["guidance=pag", "guidance.interval.lo=1", "sampler.steps=2", "propagation=none"],
    "keep_all": ["guidance=sag", "guidance.uncond=keep_all", "propagation=none"],
}
"""Runs in which the number of evaluations depends on branch, noise level and condition."""
LR = torch.rand(5, 3, 12, 18, generator=torch.Generator().manual_seed(0))
RUN = [(len(LR), *LR.shape[2:])], LR.device


@pytest.fixture(autouse=True, scope="module")
def _one_network() -> Iterator[None]:
    """Count an evaluation of the U-Net, which all upscalers here have alike, once."""
    terms = Flops(make())._terms
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Flops, "_terms", terms)
        yield


@cache
def spent(name: str):
    """The ledger's report of a run, and torch's count of its FLOPs."""
    upscaler = make(*RUNS[name])
    ledger = Ledger(upscaler)
    # the fused attention of CPUs is not in torch's count
    with (
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
        ledger.running(*RUN),
    ):
        upscaler(LR, observer=ledger)
    return ledger.report(), counter.get_total_flops()


@pytest.mark.parametrize("name", RUNS)
def test_the_parts_add_up_to_torch_s_own_count_of_the_run(name):
    report, counted = spent(name)
    assert report["flops"]["total"] == counted > 0


@pytest.mark.parametrize("name", RUNS | GUIDED)
def test_the_planned_evaluations_are_those_of_the_run_and_of_its_progress(name):
    upscaler, done = make(*(RUNS | GUIDED)[name]), []
    ledger = Ledger(upscaler)
    with ledger.running(*RUN):
        upscaler(LR, done.append, ledger)
    assert upscaler.work(5, 12, 18) == ledger.evaluations.total()
    assert sum(done) == pytest.approx(upscaler.work(5, 12, 18))
    assert min(done) > 0
    assert max(done) < 0.6 * (upscaler.batch or 4)


@pytest.mark.parametrize("name", RUNS)
def test_the_planned_cost_is_what_the_ledger_counts(name):
    planned = PlannedCost(make(*RUNS[name])).ledger([RUN[0][0]]).report()
    report, _ = spent(name)
    assert planned["evaluations"] == report["evaluations"]
    assert planned["flops"] == report["flops"]


def test_plain_is_what_a_run_without_propagation_and_guidance_costs():
    plain, _ = spent("plain")
    assert plain["flops"]["sap"] == plain["flops"]["tap"] == plain["flops"]["guidance"] == 0
    assert plain["evaluations"] == make("propagation=none").work(5, 12, 18) > 2
    for name in ("sap", "two_pass", "sap_cfg", "tap", "clean", "both"):
        assert spent(name)[0]["flops"]["plain"] == plain["flops"]["plain"]


def test_two_passes_are_one_plain_one_more():
    plain, lockstep, two_pass = (spent(name)[0] for name in ("plain", "sap", "two_pass"))
    assert two_pass["flops"]["sap"] - lockstep["flops"]["sap"] == plain["flops"]["plain"]
    assert two_pass["evaluations"] == 2 * lockstep["evaluations"]
    assert two_pass["flops"]["tap"] == lockstep["flops"]["tap"] == 0


def test_guidance_pays_for_its_branch_and_the_propagation_in_it():
    alone, guided = (spent(name)[0] for name in ("sap", "sap_cfg"))
    assert guided["flops"]["sap"] == alone["flops"]["sap"] > 0
    assert guided["flops"]["guidance"] == alone["flops"]["sap"] + alone["flops"]["plain"]
    assert guided["evaluations"] == 2 * alone["evaluations"]


def test_exchanged_bytes_are_those_of_the_tensors():
    seen = Bytes()
    make(*RUNS["dssag"])(LR, observer=seen)
    assert spent("dssag")[0]["exchanged_bytes"] == seen.numbers
    assert min(seen.numbers.values()) > 0


def test_two_videos_cost_twice_one():
    upscaler, (once, _) = make(*RUNS["plain"]), spent("plain")
    ledger = Ledger(upscaler)
    for _ in range(2):
        with ledger.running(*RUN):
            upscaler(LR, observer=ledger)
    twice = ledger.report()
    assert twice["evaluations"] == 2 * once["evaluations"]
    assert twice["flops"] == {part: 2 * flops for part, flops in once["flops"].items()}


def test_seconds_and_memory_are_measured_and_all_is_plain():
    report, _ = spent("plain")
    assert report["seconds"] > 0
    assert report["peak_memory_bytes"] > 50e6  # torch alone is larger
    assert json.loads(json.dumps(report)) == report
    assert flat(report, "cost")["cost/flops/total"] == report["flops"]["total"]


class PictureEncoder(torch.nn.Module):
    """An image encoder of one matrix product."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3, 32)

    @torch.no_grad()
    def forward(self, frames):
        return self.linear(frames.mean(dim=(2, 3)))[:, None]


@pytest.mark.parametrize("image_frames", ["first", "each", "first_of_video"])
def test_pictures_are_counted_as_often_as_they_are_encoded(image_frames):
    upscaler = replace(
        make(*RUNS["shifted"], "sampler.steps=1"), image_encoder=PictureEncoder(), image_frames=image_frames
    )
    ledger = Ledger(upscaler)
    with (
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
        ledger.running(*RUN),
    ):
        upscaler(LR, observer=ledger)
    assert ledger.report()["flops"]["total"] == counter.get_total_flops()
    assert ledger.report()["flops"]["image_encoder"] > 0


def test_an_upscaler_without_a_network_costs_none():
    ledger = Ledger(Upsampling())
    with ledger.running(*RUN):
        Upsampling()(LR, observer=ledger)
    report = ledger.report()
    assert report["evaluations"] == 0
    assert set(report["flops"].values()) == {0}
    assert report["exchanged_bytes"] == {"sap": 0, "tap": 0}

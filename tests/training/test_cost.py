"""What training costs is counted and written down."""

import csv
import json

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dcvsr.cli import CONF
from dcvsr.training.cost import TrainingCost
from tests.conftest import TINY


@pytest.fixture(scope="module")
def module():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", ["+experiment=stage1", *TINY, "metrics=fidelity"])
    return instantiate(cfg.module, _convert_="all")


def test_forward_and_encoding_are_torch_s_own_count(module, tmp_path):
    cost = TrainingCost(str(tmp_path))
    cost.sizes[4, 64, 64] = 6
    flops = cost.report(module, processes=2)["flops"]
    batch = {"hr": torch.rand(1, 4, 3, 64, 64), "lr": torch.rand(1, 4, 3, 16, 16)}
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as encoded:
            y, c = module.encode(batch)
        with FlopCounterMode(display=False) as evaluated:
            module.denoiser(y, torch.ones(1), c)
    assert flops["enlarge"] + flops["vae"] == 12 * encoded.get_total_flops()
    assert flops["forward"] == 12 * evaluated.get_total_flops()
    assert flops["backward"] == 2 * flops["forward"]


def test_backward_is_about_twice_forward(module):
    """All but the gradients of the input of the first layers."""
    y, c = module.encode({"hr": torch.rand(1, 4, 3, 64, 64), "lr": torch.rand(1, 4, 3, 16, 16)})
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        D = module.denoiser(y, torch.ones(1), c)
        forward = counter.get_total_flops()
        D.sum().backward()
    assert counter.get_total_flops() - forward == pytest.approx(2 * forward, rel=0.05)


def test_a_run_leaves_its_cost(train, tmp_path):
    done = train("stage1", "trainer.max_steps=2", "hydra.run.dir=run")
    assert done.code == 0, done.err
    cost = json.loads((tmp_path / "run/cost.json").read_text())
    assert cost["evaluations"] == 2
    assert min(cost["seconds"], cost["peak_memory_bytes"], cost["flops"]["forward"]) > 0
    with (tmp_path / "run/metrics.csv").open() as file:
        logged = [row["train/cost/flops/total"] for row in csv.DictReader(file)]
    assert float(logged[-1]) == cost["flops"]["total"]

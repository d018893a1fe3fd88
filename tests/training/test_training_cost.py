"""The cost of training is counted and written to cost.json."""

import csv
import json
from types import SimpleNamespace

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dcvsr.runtime.cli import CONF
from dcvsr.training.training_cost import TrainingCost
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
    assert flops["upsample"] + flops["vae"] == 12 * encoded.get_total_flops()
    assert flops["forward"] == 12 * evaluated.get_total_flops()
    assert flops["backward"] == 2 * flops["forward"]


@pytest.mark.parametrize(
    ("checkpointing", "backward", "image_frames", "pictures"),
    [(False, 2, "first", 2 + 4), (True, 3, "each", 2 * 5 + 4 * 3)],
)
def test_every_part_counts_once_a_clip_or_frame_of_every_process(
    monkeypatch, tmp_path, checkpointing, backward, image_frames, pictures
):
    """A U-Net of f h w FLOPs, a VAE of h w and 2 h w, an upsampling of 10 h w and an image encoder of 7."""
    flops = SimpleNamespace(
        evaluation=lambda f, h, w: f * h * w,
        upsampling=lambda h, w: 10 * h * w,
        encoding=lambda h, w: h * w,
        target=lambda h, w: 2 * h * w,
        image=7,
    )
    monkeypatch.setattr("dcvsr.training.training_cost.Flops", lambda upscaler: flops)
    upscaler = SimpleNamespace(
        factor=4,
        latents=SimpleNamespace(autoencoder=SimpleNamespace(factor=8)),
        denoiser=SimpleNamespace(unet=SimpleNamespace(is_gradient_checkpointing=checkpointing)),
        image_frames=image_frames,
    )
    cost = TrainingCost(str(tmp_path))
    cost.sizes.update({(5, 64, 32): 2, (3, 16, 16): 4})
    report = cost.report(SimpleNamespace(upscaler=upscaler), processes=3)
    forward = 3 * (2 * 5 * 8 * 4 + 4 * 3 * 2 * 2)
    expected = {
        "forward": forward,
        "backward": backward * forward,
        "upsample": 3 * 10 * (2 * 5 * 16 * 8 + 4 * 3 * 4 * 4),
        "vae": 3 * 3 * (2 * 5 * 64 * 32 + 4 * 3 * 16 * 16),
        "image_encoder": 3 * 7 * pictures,
    }
    assert report["flops"] == {**expected, "total": sum(expected.values())}
    assert report["evaluations"] == 3 * (2 + 4)


def test_backward_is_about_twice_forward(module):
    """All but the gradients of the input of the first layers."""
    y, c = module.encode({"hr": torch.rand(1, 4, 3, 64, 64), "lr": torch.rand(1, 4, 3, 16, 16)})
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        D = module.denoiser(y, torch.ones(1), c)
        forward = counter.get_total_flops()
        D.sum().backward()
    assert counter.get_total_flops() - forward == pytest.approx(2 * forward, rel=0.05)


def test_a_run_leaves_its_cost(run, tmp_path):
    keys = [*TINY, "metrics=none", "~loggers.wandb", "trainer.max_steps=2", "hydra.run.dir=run"]
    done = run("train", "+experiment=stage1", *keys)
    assert done.code == 0, done.err
    cost = json.loads((tmp_path / "run/cost.json").read_text())
    assert cost["evaluations"] == 2
    assert min(cost["seconds"], cost["peak_memory_bytes"], cost["flops"]["forward"]) > 0
    with (tmp_path / "run/metrics.csv").open() as file:
        logged = [row["train/cost/flops/total"] for row in csv.DictReader(file)]
    assert float(logged[-1]) == cost["flops"]["total"]

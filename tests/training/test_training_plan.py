"""The plan of training is what training then takes."""

import json
import os
import subprocess
import sys

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dcvsr.models.live_bytes import LiveBytes
from dcvsr.models.svd import recompute_activations
from dcvsr.plan import _module_without_weights
from dcvsr.runtime.cli import CONF
from dcvsr.runtime.device import computes_bfloat16
from dcvsr.training.fake_step import FakeStep, Needs, autocast_dtype
from dcvsr.training.parameter_groups import parameter_groups
from dcvsr.training.training_plan import Batches, TrainingPlan
from tests.conftest import TINY


def module(*overrides: str):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("plan_training", overrides=[*overrides])
    return _module_without_weights(cfg)[0]


def tiny():
    torch.manual_seed(0)
    return module("+experiment=stage1", *TINY)


class Recorded(LiveBytes):
    """Recorder of real tensors, which runs operations as they are."""

    def _run(self, func, packet, args, options):
        return func(*args, **options)


def real_step(module, recomputes: bool, accumulates: bool, dtype) -> int:
    """Return the bytes at the peak of a training step beside weights and gradients."""
    if recomputes:
        recompute_activations(module.denoiser.unet)
    batch = {"hr": torch.rand(2, 4, 3, 64, 64), "lr": torch.rand(2, 4, 3, 16, 16)}
    y, c = module.encode(batch)
    noise, sigma = torch.randn_like(y), torch.ones(2)
    trained = list(module.denoiser.parameters())
    for p in trained if accumulates else ():
        p.grad = torch.zeros_like(p)
    given = [*trained, *module.denoiser.buffers(), *(p.grad for p in trained if p.grad is not None)]
    known = [*given, y, noise, sigma, c.latent, c.image]
    with Recorded(known, "cpu") as live, live.running(0):
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            loss = module.loss(lambda x, sigma: module.denoiser(x, sigma, c), y, noise, sigma).mean()
        loss.backward()
    return live.peak - (0 if accumulates else sum(p.nbytes for p in trained))


@pytest.mark.parametrize(
    ("recomputes", "accumulates", "dtype"),
    [
        (False, False, torch.float32),
        (True, True, torch.float32),
        (True, False, torch.bfloat16),
    ],
)
def test_activations_of_a_fake_step_are_those_of_a_real_one(recomputes, accumulates, dtype):
    fake = FakeStep(tiny(), 2, 4, 64, dtype, "cpu").denoising(recomputes, accumulates)
    assert fake.bytes == pytest.approx(real_step(tiny(), recomputes, accumulates, dtype), rel=0.01)


STAGE_3 = ("+experiment=stage3", "ckpt=null", *TINY, "sampler.steps=1")


@pytest.mark.parametrize(
    ("overrides", "dtype"),
    [
        ([], torch.float32),
        (["module.losses.adversarial=0.1", "module.losses.features=1"], torch.float32),
        (["module.perceived=1", "module.losses.specks=2"], torch.bfloat16),
        (["teacher.guidance=dssag", "module.latent=1"], torch.float32),
    ],
)
def test_activations_of_a_fake_step_of_stage_3_are_those_of_a_real_one(overrides, dtype):
    """They include the decoder and the networks of the losses."""
    torch.manual_seed(0)
    made = module(*STAGE_3, *overrides)
    fake = FakeStep(made, 1, 4, 64, dtype, "cpu").denoising(False, False)
    number = torch.zeros(1, dtype=torch.long)
    batch = {"hr": torch.rand(1, 4, 3, 64, 64), "lr": torch.rand(1, 4, 3, 16, 16)}
    batch |= {"epoch": number, "number": number}
    y, c = made.encode(batch)
    noise, made.log_dict = torch.randn_like(y), lambda *_, **__: None
    trained = [p for p in made.parameters() if p.requires_grad]
    networks = [*made.upscaler.networks, made, made.pixel_losses.lpips, made.pixel_losses.dists]
    networks += [made.teacher.denoiser] if made.teacher else []
    kept = [tensor for network in networks for tensor in (*network.parameters(), *network.buffers())]
    with Recorded([*kept, y, noise, c.latent, c.image], "cpu") as live, live.running(0):
        batch["hr"] = batch["hr"].clone()  # frames count
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            loss = made.batch_loss(batch, y, noise, c, c.latent)["loss"]
        loss.backward()
    assert fake.bytes == pytest.approx(live.peak - sum(p.nbytes for p in trained), rel=0.02)


def test_stage_3_s_plan_holds_the_discriminator_and_the_networks_of_its_losses():
    adversarial = ["module.losses.adversarial=0.1", "module.losses.features=1"]
    plain, trains = (module(*STAGE_3, *more) for more in ([], adversarial))
    without, has = (FakeStep(made, 1, 4, 64, torch.float32, "cpu") for made in (plain, trains))
    heads = sum(p.numel() for p in trains.adversary.parameters())
    assert has.step()[0] - without.step()[0] == pytest.approx(8 * heads, rel=0.01)
    assert has.frozen_bytes == without.frozen_bytes
    networks = [plain.pixel_losses.lpips, plain.pixel_losses.dists]
    size = sum(p.nbytes for network in networks for p in network.parameters())
    own = sum(p.nbytes for p in plain.parameters())
    assert without.frozen_bytes == without.upscaler.weight_bytes - own + size


def test_flops_of_a_fake_step_are_torch_s_own_count():
    """torch does not count the fused attention of a CPU; products and softmax in its place it does."""
    step = FakeStep(tiny(), 2, 4, 64, torch.float32, "cpu")
    made = tiny()
    y, c = made.encode({"hr": torch.rand(2, 4, 3, 64, 64), "lr": torch.rand(2, 4, 3, 16, 16)})
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        made.denoiser(y, torch.ones(2), c).sum().backward()
    # Fused attention computes its scores once more in the backward pass.
    assert step.denoising(False, False).flops == pytest.approx(counter.get_total_flops(), rel=0.03)
    assert step.denoising(True, False).flops == pytest.approx(4 / 3 * counter.get_total_flops(), rel=0.1)


def test_frozen_layers_need_no_gradients_no_state_and_fewer_flops():
    both, frozen = (
        FakeStep(module(f"+experiment={stage}", *TINY), 1, 4, 64, torch.float32, "cpu")
        for stage in ("stage1", "stage2")
    )
    trained = sum(p.numel() for p in frozen.module.denoiser.parameters() if p.requires_grad)
    number = sum(p.numel() for p in frozen.module.denoiser.parameters())
    assert trained < number
    assert frozen.step()[0] == pytest.approx(8 * trained, rel=0.01)
    assert both.step()[0] == pytest.approx(8 * number, rel=0.01)
    assert frozen.denoising(False, False).flops < both.denoising(False, False).flops


@pytest.mark.parametrize(("stage", "trained"), [("stage1", 1524.6), ("stage2", 868.5)])
def test_svd_s_parameters_by_group(stage, trained):
    counts = parameter_groups(module(f"+experiment={stage}", "scale=svd").denoiser)
    assert sum(total for total, _ in counts.values()) / 1e6 == pytest.approx(1524.6, abs=0.05)
    assert sum(number for _, number in counts.values()) / 1e6 == pytest.approx(trained, abs=0.05)
    temporal = sum(total for name, (total, _) in counts.items() if name.startswith("temporal"))
    assert temporal / 1e6 == pytest.approx(1524.6 - 868.5, abs=0.1)


def test_the_command_plans_memory_by_strategy_hours_by_rate_and_checkpoints(run, train, tmp_path):
    batches = ["trainer=ddp", "devices=4", "batch=8", "trainer.precision=32-true"]
    planned = run("plan", "+experiment=stage1", *TINY, *batches, "tflops=2", "json=plan.json")
    assert planned.code == 0, planned.err
    plan = json.loads((tmp_path / "plan.json").read_text())
    whole, fsdp = plan["memory"]["whole"], plan["memory"]["fsdp"]
    assert whole["optimizer"] == pytest.approx(2 * whole["weights"], rel=0.01)
    assert whole["average"] == whole["weights"] == whole["gradients"]
    assert fsdp["weights"] == whole["weights"] // 4
    assert fsdp["optimizer"] == whole["optimizer"] // 4
    assert plan["activations"]["whole"]["recomputed"] < 0.5 * plan["activations"]["whole"]["kept"]
    parts = [*whole.values(), plan["activations"]["whole"]["kept"]]
    assert plan["totals"]["whole"]["kept"] == sum(parts)
    assert plan["gpu_hours"] == pytest.approx(sum(plan["flops"].values()) / 2e12 / 3600)
    assert "220 steps of 8 clips, 1 at a time on 4 GPUs, 4 frames of 64x64" in planned.out
    assert "single, ddp, kept*" in planned.out
    assert "GPU-hours at 2 TFLOP/s" in planned.out
    done = train("stage1", "trainer.max_steps=1", "hydra.run.dir=run")
    assert done.code == 0, done.err
    size = (tmp_path / "run/checkpoints/last.ckpt").stat().st_size
    assert plan["checkpoint"] == pytest.approx(size, rel=0.1), "names of tensors weigh at this size"


def test_the_command_plans_stage_3(run):
    planned = run("plan", *STAGE_3, "module.losses.lpips=0", "module.perceived=1")
    assert planned.code == 0, planned.err
    assert "stage 3, scale=nano" in planned.out


@pytest.mark.parametrize(("batch", "share"), [(4, 4), (8, 1)])
def test_fsdp_keeps_gradients_whole_where_batches_accumulate(monkeypatch, batch, share):
    for cost in ("denoising", "encoding"):
        monkeypatch.setattr(FakeStep, cost, lambda *_: Needs(5, 7))
    step = FakeStep(tiny(), 1, 4, 64, torch.float32, "cpu")
    batches = Batches(clips=1, accumulated=batch // 4, processes=4, steps=3)
    choices = {"recomputes": False, "averages": False, "encodes": True, "rate": None}
    plan = TrainingPlan.of(step, batches, "fsdp", **choices)
    assert plan.memory["fsdp"]["gradients"] == plan.memory["whole"]["gradients"] // share
    assert plan.memory["fsdp"]["average"] == 0
    assert plan.flops == {"unet": 3 * batch * 7, "encoding": 3 * batch * 7}
    assert plan.gpu_hours is None
    assert "hours" not in str(plan)


def test_ddp_keeps_gradients_beside_activations_and_one_process_does_not(monkeypatch):
    asked = []
    monkeypatch.setattr(FakeStep, "encoding", lambda _: Needs(0, 0))
    monkeypatch.setattr(FakeStep, "denoising", lambda _, *ways: asked.append(ways) or Needs(5, 7))
    step = FakeStep(tiny(), 1, 4, 64, torch.float32, "cpu")
    for processes in (1, 2):
        batches = Batches(clips=1, accumulated=1, processes=processes, steps=3)
        choices = {"recomputes": False, "averages": False, "encodes": True, "rate": None}
        TrainingPlan.of(step, batches, "whole", **choices)
    assert [has for _, has, sharded in asked if not sharded] == [False, False, True, True]
    assert not any(has for _, has, sharded in asked if sharded)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["+experiment=stage1", "trainer=ddp", "devices=auto"], "plan needs a number of devices"),
        (["+experiment=stage1", "trainer=ddp", "devices=2", "batch=3"], "batch=3 is not a multiple of 2"),
        (["+experiment=stage1", "tflops=0"], "tflops=0 is not a number above 0"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_one_line(run, overrides, says):
    done = run("plan", *TINY, *overrides)
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert says in done.err


MEASURED = """
import os, sys, torch, lightning.pytorch as pl
from tests.training.test_training_plan import MIDDLE, module, tiny
from dcvsr.training.ema import EMA

def status(name):
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(lines[name].split()[0]) * 1024

def fit(module, side, precision):
    hr = torch.rand(4, 3, side, side)
    clips = [{"hr": hr, "lr": hr[..., ::4, ::4].clone(), "epoch": 1, "number": i} for i in range(2)]
    trainer = pl.Trainer(max_steps=2, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, gradient_clip_val=1.0, callbacks=[EMA(0.9)],
        precision=precision)
    trainer.fit(module, torch.utils.data.DataLoader(clips, batch_size=1))

for precision in sys.argv[1:]:
    if pid := os.fork():  # each has a peak of its own
        assert os.waitpid(pid, 0)[1] == 0
        continue
    fit(tiny(), 64, precision)  # loads what training imports
    before = status("VmRSS")
    fit(module("+experiment=stage1", *MIDDLE), 96, precision)
    print("peak", precision, status("VmHWM") - before, flush=True)
    os._exit(0)
"""

MIDDLE = [
    "model.denoiser.unet.channels=[64,128,256]",
    "model.denoiser.unet.heads=[1,2,4]",
]
"""A U-Net of 20 M parameters."""


@pytest.fixture(scope="module")
def peaks() -> dict[str, int]:
    """Return by precision the bytes by which training raises the memory of a process.

    Measured without glibc's free blocks, which its default keeps; see docs/training.md.
    """
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    precisions = ["32-true", *["bf16-mixed"][: computes_bfloat16(torch.device("cpu"))]]
    command = [sys.executable, "-W", "ignore", "-c", MEASURED, *precisions]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("peak ")]
    return {precision: int(peak) for precision, peak in found}


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the peak of a process on Linux only")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_planned_memory_is_within_20_percent_of_a_real_run(precision, peaks):
    if precision == "bf16-mixed" and not computes_bfloat16(torch.device("cpu")):
        pytest.skip("this CPU has no instructions for bfloat16")
    step = FakeStep(module("+experiment=stage1", *MIDDLE), 1, 4, 96, autocast_dtype(precision), "cpu")
    weights = step.upscaler.denoiser.parameters()
    fixed = 3 * sum(p.nbytes for p in weights) + step.step()[0]  # gradients and average, too
    assert fixed + step.denoising(False, False).bytes == pytest.approx(peaks[precision], rel=0.2)

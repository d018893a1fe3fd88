"""DDP and FSDP2 in two processes against one process, on a U-Net of two levels."""

from functools import partial
from pathlib import Path
from typing import Any

import kornia  # noqa: F401  each child would import it
import lightning.pytorch as pl
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor

import dcvsr.data.datamodule
import dcvsr.video.io  # noqa: F401
from dcvsr.models.checkpoint import open_checkpoint
from dcvsr.models.svd import recompute_activations
from dcvsr.runtime.cli import CONF
from dcvsr.runtime.errors import UserError
from dcvsr.training.batch import accumulation
from dcvsr.training.checkpoint_files import WholeCheckpoints
from dcvsr.training.sharding import local, shard, whole
from tests.training.forked import run_ranks

PRESETS = ("ddp", "fsdp")
SHARDED = ("resumed", "bf16")
MODEL = (
    *("data=synthetic", "data.crop=64", "data.frames=3", "model.denoiser.unet.channels=[32,64]"),
    *("model.denoiser.unet.heads=[1,2]", "model.denoiser.unet.layers=1"),
    *("tile.size=8", "tile.frames=3", "sampler.steps=2"),  # several tiles, which propagate in lockstep
)
FOLDERS = ("checkpoint.dirpath", "cost.folder", "side_by_side.folder")


class Recorder(pl.Callback):
    """Keeps gradients before clipping, collectives of each backward pass, and a checkpoint of step 1."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gradients: list[dict[str, Tensor]] = []
        self.norms: list[float] = []
        self.reductions: list[int] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.seen = trainer.global_step

    def on_before_backward(self, trainer: pl.Trainer, pl_module: Any, loss: Tensor) -> None:
        self.profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])
        self.profiler.start()

    def on_after_backward(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.profiler.stop()
        names = [event.name() for event in self.profiler.profiler.kineto_results.events()]  # type: ignore[union-attr]
        self.reductions.append(sum(name.startswith("gloo:") and "reduce" in name for name in names))

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: Any, optimizer: Any) -> None:
        weights = {name: p.grad for name, p in pl_module.named_parameters() if p.grad is not None}
        self.gradients.append({name: whole(gradient).clone() for name, gradient in weights.items()})

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step > self.seen:
            self.seen = trainer.global_step
            self.norms.append(float(trainer.callback_metrics["train/grad_norm"]))
            if trainer.global_step == 1:
                trainer.save_checkpoint(self.folder / "first.ckpt")


def fit(
    folder: Path, preset: str, *keys: str, steps: int = 2, resume: Path | None = None, validated: int = 0
) -> None:
    """Train, and leave ``last.ckpt`` and what each rank recorded in ``folder``."""
    torch.set_num_threads(1)
    folders = [f"callbacks.{name}=run" for name in FOLDERS]
    changes = [f"trainer={preset}", "trainer.accelerator=cpu", "trainer.precision=32-true", *folders, *keys]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", ["+experiment=stage2", "ckpt=null", "metrics=none", *MODEL, *changes])
    cfg.trainer.update(max_steps=steps, val_check_interval=0.5)
    pl.seed_everything(0, verbose=False)
    recorder = Recorder(folder)
    trainer = instantiate(
        cfg.trainer,
        callbacks=[instantiate(cfg.callbacks.freeze), instantiate(cfg.callbacks.ema), recorder],
        plugins=[WholeCheckpoints()],
        limit_val_batches=validated,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    trainer.accumulate_grad_batches = accumulation(4, 1, trainer.world_size)
    module = instantiate(cfg.module, _convert_="all")
    recompute_activations(module.denoiser.unet)
    # Adam's first steps blow up the rounding of gradients near zero.
    module.optimizer = partial(torch.optim.AdamW, lr=1e-3, eps=1e-3)
    datamodule = instantiate(cfg.datamodule, _convert_="all")(steps=steps * trainer.accumulate_grad_batches)
    trainer.fit(module, datamodule=datamodule, ckpt_path=resume)
    trainer.save_checkpoint(folder / "last.ckpt")
    states = [value for state in trainer.optimizers[0].state.values() for value in state.values()]
    share = sum(local(value).numel() for value in states) / sum(value.numel() for value in states)
    found = {"gradients": recorder.gradients, "norms": recorder.norms, "reductions": recorder.reductions}
    found["share"] = share
    torch.save(found, folder / f"{trainer.global_rank}.pt")


def sharded(folder: Path) -> None:
    """Train by FSDP2, which takes seconds to place each operation and does so once in a process.

    ``fsdp`` validates after each step, ``resumed`` takes the second step of ``single``, ``bf16`` takes one.
    """
    fit(folder / "fsdp", "fsdp", "devices=2", validated=1)
    fit(folder / "resumed", "fsdp", "devices=2", resume=folder / "single/first.ckpt")
    fit(folder / "bf16", "fsdp", "devices=2", "trainer.precision=bf16-mixed", steps=1)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of two steps by one process, by DDP and by FSDP2, as `sharded` runs it."""
    folder, threads = tmp_path_factory.mktemp("runs"), torch.get_num_threads()
    torch.set_num_threads(1)  # OpenMP's threads do not outlive a fork
    for preset in ("single", *PRESETS, *SHARDED):
        (folder / preset).mkdir()
    fit(folder / "single", "single")
    run_ranks(partial(fit, folder / "ddp", "ddp", "devices=2"))
    run_ranks(partial(sharded, folder))
    torch.set_num_threads(threads)
    return folder


def recorded(runs: Path, preset: str, rank: int = 0) -> dict[str, Any]:
    return torch.load(runs / preset / f"{rank}.pt")


def distance(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Norm of the difference, relative to that of ``other``."""
    assert one.keys() == other.keys()
    a, b = (torch.cat([values[name].flatten().double() for name in other]) for values in (one, other))
    return float((a - b).norm() / b.norm())


@pytest.mark.timeout(600)
@pytest.mark.parametrize("preset", PRESETS)
def test_two_processes_have_the_gradients_of_one(runs: Path, preset: str) -> None:
    alone, *both = recorded(runs, "single"), *(recorded(runs, preset, rank) for rank in range(2))
    assert len(alone["gradients"]) == 2
    for found in both:
        assert distance(found["gradients"][0], alone["gradients"][0]) < 1e-6
        assert (
            distance(found["gradients"][1], alone["gradients"][1]) < 1e-5
        )  # at weights that round differently


@pytest.mark.parametrize("preset", ["single", *PRESETS])
def test_the_norm_that_clips_is_that_of_all_gradients(runs: Path, preset: str) -> None:
    alone = recorded(runs, "single")
    expected = [
        torch.cat([g.flatten().double() for g in step.values()]).norm().item() for step in alone["gradients"]
    ]
    assert recorded(runs, preset)["norms"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("preset", PRESETS)
def test_gradients_are_exchanged_at_the_last_batch_of_a_step_alone(runs: Path, preset: str) -> None:
    for rank in range(2):
        assert [found > 0 for found in recorded(runs, preset, rank)["reductions"]] == [False, True] * 2


@pytest.mark.parametrize(("preset", "share"), [("ddp", 1), ("fsdp", 0.5)])
def test_fsdp_halves_the_optimizer_s_state(runs: Path, preset: str, share: float) -> None:
    assert recorded(runs, preset)["share"] == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_checkpoint_of_several_processes_is_that_of_one(runs: Path, preset: str) -> None:
    one, several = (torch.load(runs / name / "last.ckpt", weights_only=True) for name in ("single", preset))
    assert one.keys() == several.keys()
    assert distance(several["state_dict"], one["state_dict"]) < 1e-6
    assert distance(several["ema"]["weights"], one["ema"]["weights"]) < 1e-6
    [state], [expected] = several["optimizer_states"], one["optimizer_states"]
    assert state["param_groups"] == expected["param_groups"]
    assert state["state"].keys() == expected["state"].keys()
    for name in ("step", "exp_avg", "exp_avg_sq"):
        values, wanted = (
            {str(number): each[name] for number, each in part["state"].items()} for part in (state, expected)
        )
        assert distance(values, wanted) < 1e-5
    opened = open_checkpoint(runs / preset / "last.ckpt", "nano")  # as upscale does
    assert (opened.stage, opened.step) == (2, 2)
    assert distance(opened.weights, one["ema"]["weights"]) < 1e-6


@pytest.mark.parametrize(("before", "after"), [("fsdp", "single"), ("single", "fsdp")])
def test_a_run_resumes_with_other_processes(runs: Path, tmp_path: Path, before: str, after: str) -> None:
    if after == "single":
        torch.set_num_threads(1)
        fit(tmp_path, "single", resume=runs / before / "first.ckpt")
    folder = tmp_path if after == "single" else runs / "resumed"
    one, resumed = (torch.load(run / "last.ckpt", weights_only=True) for run in (runs / "single", folder))
    assert resumed["global_step"] == 2
    assert distance(resumed["state_dict"], one["state_dict"]) < 1e-6
    assert distance(resumed["ema"]["weights"], one["ema"]["weights"]) < 1e-6


def test_fsdp_in_bfloat16_keeps_float32_weights(runs: Path) -> None:
    found, alone = recorded(runs, "bf16"), recorded(runs, "single")
    assert len(found["gradients"]) == 1
    assert 1e-5 < distance(found["gradients"][0], alone["gradients"][0]) < 0.05
    content = torch.load(runs / "bf16/last.ckpt", weights_only=True)
    assert {value.dtype for value in content["state_dict"].values()} == {torch.float32}


class Trained(torch.nn.Module):
    """A training module with weights beside the U-Net."""

    def __init__(self) -> None:
        super().__init__()
        self.denoiser, self.adversary = torch.nn.Module(), torch.nn.Linear(2, 2)
        self.denoiser.unet = torch.nn.Linear(2, 2)


def test_fsdp_refuses_weights_that_it_does_not_share_out() -> None:
    module = Trained()
    with pytest.raises(UserError, match="does not train a discriminator; choose trainer=ddp"):
        shard(module, None, "32-true")  # type: ignore[arg-type]
    module.adversary.requires_grad_(False)
    module.denoiser.unet.lora_A = torch.nn.Linear(2, 2)
    with pytest.raises(UserError, match="does not train adapters"):
        shard(module, None, "32-true")  # type: ignore[arg-type]

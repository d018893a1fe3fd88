"""Training from the command to the checkpoint: hand-off, resume, and what goes wrong."""

import csv
import json
import shutil
import sys
from itertools import groupby
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file

from dcvsr.diffusion.sampler import Sampler
from dcvsr.models.checkpoint import newest_checkpoint, open_checkpoint
from tests.comparing import apart
from tests.conftest import QUICK, TINY, module_of, restored, under_stress
from tests.forking import forked

STEPS = ("trainer.max_steps=2", "hydra.run.dir=outputs/a")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A stage-1 run of two steps, which tests copy."""
    folder = tmp_path_factory.mktemp("stage1")
    given = ["+experiment=stage1", *TINY, *QUICK, *STEPS]
    with pytest.MonkeyPatch.context() as patch, restored():
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["train", *given])
        module_of("train").main()
    return folder / "outputs/a"


@pytest.fixture
def stage1(trained, tmp_path) -> Path:
    """The stage-1 run, as the newest in ``outputs``."""
    return Path(shutil.copytree(trained, tmp_path / "outputs/a"))


def test_a_run_leaves_what_it_says(stage1):
    config = OmegaConf.load(stage1 / "config.yaml")
    assert config.start == "the initial weights of the model"
    assert config.trainer.precision in ("bf16-mixed", "32-true")
    with (stage1 / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert any(row.get("val/psnr") for row in rows)
    assert list((stage1 / "videos").glob("slide-step000002.mp4"))
    content = torch.load(stage1 / "checkpoints" / "last.ckpt", weights_only=True)
    assert content["dcvsr"] == {"scale": "nano", "stage": 1, "seed": 0}
    assert content["global_step"] == 2
    used = open_checkpoint(stage1 / "checkpoints" / "last.ckpt", "nano").weights
    assert content["ema"]["steps"] == 2
    assert all(torch.equal(used[name], content["ema"]["weights"][name]) for name in used)
    assert apart(used["unet.conv_in.weight"], content["state_dict"]["denoiser.unet.conv_in.weight"])


def test_stage_2_starts_from_the_newest_stage_1_and_says_so(stage1, train, tmp_path):
    done = train("stage2", "trainer.max_steps=1", "hydra.run.dir=outputs/b")
    assert done.code == 0, done.err
    assert "stage 2 starts from outputs/a/checkpoints/last.ckpt (scale=nano, stage 1, step 2)" in done.out
    first, second = (
        open_checkpoint(tmp_path / f"outputs/{run}/checkpoints/last.ckpt", "nano") for run in "ab"
    )
    assert second.stage == 2
    frozen = [name for name in first.weights if "temporal_res_block" in name]
    assert frozen
    assert all(torch.equal(first.weights[name], second.weights[name]) for name in frozen)
    assert apart(first.weights["unet.conv_in.weight"], second.weights["unet.conv_in.weight"])
    newest = newest_checkpoint(tmp_path / "outputs", "nano", [2, 1])
    assert newest is not None
    assert newest.stage == 2


def test_a_checkpoint_that_does_not_fit_on_the_disk_ends_in_one_line(train, monkeypatch):
    def full(content, file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dcvsr.training.checkpoint_files.torch.save", full)
    done = train("stage1", "trainer.max_steps=1", "hydra.run.dir=outputs/full")
    assert done.code == 2
    assert "cannot write " in done.err
    assert "last.ckpt: No space left on device; free disk space, and go on with resume=" in done.err
    assert not list(Path("outputs/full/checkpoints").glob("*"))


def test_stage_3_starts_from_the_newest_stage_2(stage1, train, tmp_path):
    assert train("stage2", "trainer.max_steps=1", "hydra.run.dir=outputs/b").code == 0
    quick = "module.losses.lpips=0", "module.losses.dists=0"
    done = train("stage3", "trainer.max_steps=1", "sampler.steps=1", *quick, "hydra.run.dir=outputs/c")
    assert done.code == 0, done.err
    assert "stage 3 starts from outputs/b/checkpoints/last.ckpt (scale=nano, stage 2, step 1)" in done.out
    second, third = (
        open_checkpoint(tmp_path / f"outputs/{run}/checkpoints/last.ckpt", "nano") for run in "bc"
    )
    assert third.stage == 3
    assert apart(second.weights["unet.conv_in.weight"], third.weights["unet.conv_in.weight"])
    assert (second.sampler, third.sampler) == (None, Sampler(1, sigma_min=15, sigma_max=60, rho=7))
    frozen = [name for name in third.weights if "temporal_res_block" in name]
    assert all(torch.equal(second.weights[name], third.weights[name]) for name in frozen)
    more = (*quick, "trainer.max_steps=2", "hydra.run.dir=outputs/d")
    done = train("stage3", "sampler.steps=2", "resume=outputs/c/checkpoints/last.ckpt", *more)
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert "was trained for sampler.steps=1 (noise levels 60), this run uses sampler.steps=2" in done.err


def test_stage_2_without_stage_1_warns_in_one_line_and_trains(train, tmp_path):
    done = train("stage2", "trainer.max_steps=1", "hydra.run.dir=outputs/b")
    assert done.code == 0, done.err
    warning = next(line for line in done.out.splitlines() if "no stage-1 checkpoint" in line)
    assert "`python -m dcvsr.train +experiment=stage1 scale=nano` trains one" in warning
    assert OmegaConf.load(tmp_path / "outputs/b/config.yaml").start == "the initial weights of the model"


def test_stage_2_with_ckpt_required_refuses_to_start_without_stage_1(train):
    done = train("stage2", "ckpt=required")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "no stage-1 checkpoint of scale=nano under outputs" in done.err


def test_a_run_goes_on_where_it_stopped_without_the_weights_that_it_began_with(stage1, train, tmp_path):
    done = train(
        "stage1",
        "trainer.max_steps=3",
        "ckpt=nothing.ckpt",
        f"resume={stage1}/checkpoints/last.ckpt",
        "hydra.run.dir=outputs/b",
    )
    assert done.code == 0, done.err
    assert f"stage 1 resumes from {stage1}/checkpoints/last.ckpt (scale=nano, stage 1, step 2)" in done.out
    last = tmp_path / "outputs/b/checkpoints/last.ckpt"
    assert open_checkpoint(last, "nano").step == 3
    assert OmegaConf.load(tmp_path / "outputs/b/config.yaml").start == "the initial weights of the model"
    assert {row["step"] for row in _rows(stage1)} < {row["step"] for row in _rows(tmp_path / "outputs/b")}
    assert torch.load(last, weights_only=True)["ema"]["steps"] == 3


def test_stage_2_starts_from_the_model_that_comes_along_where_no_stage_1_has_run(
    stage1, train, tmp_path, monkeypatch
):
    weights = open_checkpoint(stage1 / "checkpoints" / "last.ckpt", "nano").weights
    about = {"scale": "nano", "stage": "2", "step": "9"}
    save_file({name: value.half() for name, value in weights.items()}, tmp_path / "nano.safetensors", about)
    monkeypatch.setattr("dcvsr.models.checkpoint.SHIPPED", tmp_path)
    start = ("trainer.max_steps=1", "runs=elsewhere", "hydra.run.dir=elsewhere/b")
    done = train("stage2", *start)
    assert done.code == 0, done.err
    assert f"stage 2 starts from {tmp_path}/nano.safetensors (scale=nano, stage 2, step 9)" in done.out
    last = open_checkpoint(tmp_path / "elsewhere/b/checkpoints/last.ckpt", "nano").weights
    frozen = [name for name in weights if "temporal_res_block" in name]
    assert frozen
    assert all(torch.equal(last[name], weights[name].half().float()) for name in frozen)


def test_the_same_seed_trains_the_same_weights(train, tmp_path):
    for run, seed in (("a", 5), ("b", 5), ("c", 6)):
        assert (
            train("stage1", "trainer.max_steps=1", f"seed={seed}", f"hydra.run.dir=outputs/{run}").code == 0
        )
    a, b, c = (
        open_checkpoint(tmp_path / f"outputs/{run}/checkpoints/last.ckpt", "nano").weights for run in "abc"
    )
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert apart(a["unet.conv_in.weight"], c["unet.conv_in.weight"])


def test_nan_stops_the_run_and_keeps_the_last_good_checkpoint(train, tmp_path):
    done = train(
        "stage1",
        "trainer.max_steps=20",
        "checkpoint_every=1",
        "module.optimizer.lr=1e30",
        "trainer.gradient_clip_val=null",
        "hydra.run.dir=outputs/a",
    )
    assert (done.code, done.err.strip().splitlines()[-1].startswith("dcvsr: the ")) == (2, True)
    assert "at step" in done.err
    weights = open_checkpoint(tmp_path / "outputs/a/checkpoints/last.ckpt", "nano").weights
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("trainer.max_steps=0", "trainer.max_steps=0 is not a whole number of 1 or more"),
        ("trainer.max_steps=-1", "trainer.max_steps=-1 is not a whole number of 1 or more"),
        ("data.crop=0", "data.crop=0 is not a whole number of 1 or more"),
        ("data.crop=4096", "4096"),
        ("data.crop=30", "frames of 30x30 cannot be downsampled 4 times"),
        ("data.batch_size=-1", "data.batch_size=-1 is not a whole number of 1 or more"),
        ("data.batch_size=abc", "data.batch_size=abc is not a whole number of 1 or more"),
        ("batch=0", "batch=0 is not a whole number of 1 or more"),
        ("devices=2", "trainer=single uses one device, got devices=2 and nodes=1; choose trainer=ddp"),
        ("trainer=slurm", "trainer=slurm runs in processes that srun starts"),
        ("+trainer.accumulate_grad_batches=2", "is derived from batch; set batch"),
        ("module.dropout=1.5", "dropout is a probability, got 1.5"),
        ("ckpt=nothing.ckpt", "no checkpoint at nothing.ckpt"),
        ("callbacks.ema.decay=1", "decay must be at least 0 and below 1, got 1"),
        ("resume=nothing.ckpt", "no checkpoint at nothing.ckpt"),
    ],
)
def test_a_mistake_is_one_line(train, key, said):
    done = train("stage1", key)
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert said in done.err


def test_a_batch_that_the_processes_cannot_share_is_refused(train):
    done = train("stage1", "trainer=ddp", "devices=2", "trainer.accelerator=cpu")
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert "batch=1 is not a multiple of 2 (data.batch_size=1, processes: 2)" in done.err


def _rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("resume", ["null", "elsewhere/run/checkpoints/last.ckpt"])
def test_a_run_is_not_written_over(stage1, train, tmp_path, resume):
    shutil.copytree(stage1, tmp_path / "elsewhere/run")
    before = (stage1 / "metrics.csv").read_bytes()
    done = train("stage1", "trainer.max_steps=3", "hydra.run.dir=outputs/a", f"resume={resume}")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "already holds a run: continue it with resume=auto, or give another folder" in done.err
    assert (stage1 / "metrics.csv").read_bytes() == before


def test_auto_continues_the_run_of_its_folder_and_then_has_nothing_to_do(stage1, train):
    """The newest file is half a checkpoint."""
    last = stage1 / "checkpoints/last.ckpt"
    (stage1 / "checkpoints/newer.ckpt").write_bytes(last.read_bytes()[:5000])
    before = [{key: value for key, value in row.items() if value} for row in _rows(stage1)]
    auto = ("trainer.max_steps=3", "resume=auto", "hydra.run.dir=outputs/a")
    done = train("stage1", *auto)
    assert done.code == 0, done.err
    assert f"resumes from {last.relative_to(Path.cwd())} (scale=nano, stage 1, step 2)" in done.out.replace(
        f"{Path.cwd()}/", ""
    )
    after = [{key: value for key, value in row.items() if value} for row in _rows(stage1)]
    kept = [row for row in before if row["step"] in "01"]
    assert after[: len(kept)] == kept
    assert [step for step, _ in groupby(row["step"] for row in after)] == ["0", "1", "2"]
    assert sys.argv[-1] == f"resume={last}", "Lightning starts other processes with it"
    done = train("stage1", *auto)
    assert (done.code, done.err) == (0, "")
    assert "last.ckpt (scale=nano, stage 1, step 3): all 3 steps are done; there is nothing to do" in done.out


def test_auto_continues_the_newest_run_of_its_stage_in_a_new_folder(stage1, train, tmp_path):
    content = torch.load(stage1 / "checkpoints/last.ckpt", weights_only=True)
    content["dcvsr"]["stage"] = 2
    (tmp_path / "outputs/newer/checkpoints").mkdir(parents=True)
    torch.save(content, tmp_path / "outputs/newer/checkpoints/last.ckpt")
    done = train("stage1", "trainer.max_steps=3", "resume=auto")
    assert done.code == 0, done.err
    assert "stage 1 resumes from outputs/a/checkpoints/last.ckpt (scale=nano, stage 1, step 2)" in done.out
    [new] = (tmp_path / "outputs/train").iterdir()
    assert open_checkpoint(new / "checkpoints/last.ckpt").step == 3


def test_auto_starts_where_there_is_nothing_to_resume(stage1, train, tmp_path):
    """Also in a folder whose run was killed before its first checkpoint, and beside other runs."""
    (tmp_path / "outputs/b").mkdir()
    (tmp_path / "outputs/b/metrics.csv").write_text("step,train/loss\n0,9.9\n")
    done = train("stage1", "trainer.max_steps=1", "resume=auto", "hydra.run.dir=outputs/b")
    assert done.code == 0, done.err
    assert "found no checkpoint to resume; training starts from the first step" in done.out
    assert all(row["train/loss"] != "9.9" for row in _rows(tmp_path / "outputs/b"))


def test_a_metric_that_ranks_no_checkpoint_is_refused(train):
    done = train("stage1", "keep_best=lpips")
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert "keep_best=lpips is not a metric of the validation that ranks checkpoints; choose psnr" in done.err


def test_a_resumed_run_is_the_same_run_in_wandb(run, tmp_path):
    arguments = ("+experiment=stage1", *TINY, "metrics=none", "+trainer.limit_val_batches=0")
    arguments = (*arguments, "resume=auto", "hydra.run.dir=a")
    for steps in (1, 2):
        done = run("train", *arguments, f"trainer.max_steps={steps}")
        assert done.code == 0, done.err
    name = (tmp_path / "a/checkpoints/wandb_id.txt").read_text().strip()
    runs = sorted(path.name.rpartition("-")[2] for path in (tmp_path / "a/wandb").glob("offline-run-*"))
    assert runs == [name, name]
    assert len(list((tmp_path / "a/wandb").glob(f"offline-run-*/run-{name}.wandb"))) == 2


def test_resuming_another_stage_is_refused(stage1, train):
    done = train("stage2", f"resume={stage1}/checkpoints/last.ckpt")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "start from its weights with ckpt=" in done.err


def test_resuming_with_another_seed_is_refused(stage1, train):
    done = train("stage1", "trainer.max_steps=3", "seed=1", "resume=auto", "hydra.run.dir=outputs/a")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "was trained with seed=0, this run has seed=1: add seed=0, or start from its weights" in done.err


@pytest.mark.parametrize("steps", [1, 2])
def test_resuming_a_finished_run_is_refused_and_writes_nothing(stage1, train, tmp_path, steps):
    done = train(
        "stage1",
        f"trainer.max_steps={steps}",
        f"resume={stage1}/checkpoints/last.ckpt",
        "hydra.run.dir=outputs/b",
    )
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert f"step 2): all {steps} steps are done; raise trainer.max_steps" in done.err
    assert {path.name for path in (tmp_path / "outputs/b").iterdir()} <= {".hydra", "train.log", "lock"}


def test_the_paper_s_scale_says_at_once_all_that_is_missing(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    done = run("train", "+experiment=stage1", "scale=svd")
    assert (done.code, done.err.count("\n")) == (2, 1)
    for way_out in (
        "REDS at data/REDS lacks 270 of 270 clips",
        "data.path=",
        "hf download",
        "model.weights=",
    ):
        assert way_out in done.err


def test_the_model_in_the_box_says_at_once_which_clips_it_lacks(run, tmp_path):
    (tmp_path / "hr_sam2_01_dog.mp4").touch()
    done = run("train", "+experiment=nano_stage1", f"data.path={tmp_path}")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert f"{tmp_path} lacks hr_sam2_02_cups.mp4, hr_sam2_03_blocks.mp4," in done.err
    assert "data.path=FOLDER" in done.err


def test_wandb_gets_losses_scores_and_videos(run, logged):
    steps = ("trainer.max_steps=2", "trainer.log_every_n_steps=1")
    done = run("train", "+experiment=stage1", *TINY, "metrics=fidelity", *steps)
    assert done.code == 0, done.err
    names = "loss", "lr", "grad_norm", "data_wait", "samples_per_second"
    assert {*(f"train/{name}" for name in names), "val/psnr", "val/ssim", "val/slide"} <= logged.keys()
    assert any(name.startswith("train/loss_ln_sigma/") for name in logged)
    kinds = "weights", "gradients", "optimizer", "average", "resident"
    assert {"weights/trained_spatial", "weights/trained_temporal"} <= logged.keys()
    assert all(logged[f"memory/{kind}"] > 0 for kind in kinds)
    [video] = logged["val/slide"]
    assert Path(video).is_file()


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "launched", ["by the console script", "as a module"] if under_stress() else ["by the console script"]
)
def test_two_devices_share_the_batch(tmp_path, monkeypatch, launched):
    """From a fork: Lightning starts the second process with the same command."""
    script = tmp_path / "dcvsr"
    script.write_text("import sys\nfrom dcvsr.__main__ import main\nsys.exit(main())\n")
    start = ["-m", "dcvsr.train"] if launched == "as a module" else [script, "train"]
    arguments = [*TINY, "metrics=none", "~loggers.wandb", *STEPS, "trainer.accelerator=cpu"]
    batch = ["batch=6", "trainer=ddp", "devices=2", "datamodule.validated.tiles=1"]
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    done = forked([*start, "+experiment=stage1", *arguments, *batch], tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "outputs/a/cost.json").read_text())["evaluations"] == 2 * 6
    config = OmegaConf.load(tmp_path / "outputs/a/config.yaml")
    assert config.batch_parts == {"processes": 2, "accumulated": 3}
    assert open_checkpoint(tmp_path / "outputs/a/checkpoints/last.ckpt", "nano").step == 2


def test_a_sweep_over_several_processes_is_refused(train):
    done = train("stage1", "seed=0,1", "trainer=ddp", "devices=2", "-m")
    assert done.code == 2
    assert "devices=1, or use torchrun" in done.err

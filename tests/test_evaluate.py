"""Scores of an upscaler on a data set."""

import csv
import json
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

from dcvsr.data.synthetic import Translation
from dcvsr.degradation.pipeline import bicubic
from dcvsr.degradation.seeds import generator
from dcvsr.imaging import upsample
from dcvsr.metrics.fidelity import PSNR
from dcvsr.models.checkpoint import shipped
from dcvsr.runtime.cli import CONF
from dcvsr.video.frame_folder import write_frames
from dcvsr.video.io import read_video, to_unit, write_clip
from tests.conftest import TINY, Finished, Run, under_stress
from tests.training.forked import run_ranks

SMALL = ("data.test.slide.frames=8", "data.test.slide.height=80", "data.test.slide.width=80")
COMMANDS = {"evaluate": [], "figure3": ["input=a", "output=b"]}
QUICK = (*TINY, *SMALL, "metrics=fidelity", "~data.test.return", "hydra.run.dir=run")


@pytest.fixture
def run(run: Run) -> Run:
    """Run a command; ``evaluate`` without wandb, which takes seconds, unless a test names it."""

    def invoke(command: str, *arguments: str) -> Finished:
        named = command != "evaluate" or any(argument.startswith("wandb=") for argument in arguments)
        return run(command, *arguments, *([] if named else ["wandb=none"]))

    return invoke


def test_bicubic_gets_the_scores_of_bicubic(run, tmp_path):
    done = run("evaluate", "upscaler=bicubic", "degradation=bicubic", *QUICK)
    assert done.code == 0, done.err
    hr = to_unit(Translation(seed=4, frames=8, height=80, width=80, dx=2.2, dy=0.3).read(0, 8))
    metric = PSNR()
    lr = bicubic(4).apply(bicubic(4).draw(generator(), hr.shape), hr)
    metric.update(upsample(lr), hr)
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["clips"]["slide"]["psnr"] == pytest.approx(metric.compute().item(), abs=1e-4)
    assert summary["metrics"]["psnr"] == {"mean": summary["clips"]["slide"]["psnr"], "higher_is_better": True}
    with (tmp_path / "run/results.csv").open() as file:
        rows = {(row["clip"], row["metric"]): float(row["value"]) for row in csv.DictReader(file)}
    assert rows["slide", "psnr"] == summary["clips"]["slide"]["psnr"]
    assert (tmp_path / "run/videos/slide.mp4").is_file()
    assert summary["cost"]["evaluations"] == summary["cost"]["flops"]["total"] == 0
    assert summary["cost"]["seconds"] > 0


def test_a_finished_run_is_neither_repeated_nor_written_over(run, tmp_path):
    assert run("evaluate", "upscaler=bicubic", *QUICK).code == 0
    before = (tmp_path / "run/summary.json").read_bytes()
    again = run("evaluate", "upscaler=bicubic", *QUICK)
    assert again.code == 0
    assert "finished; nothing to do" in again.out
    other = run("evaluate", "upscaler=bicubic", "lr_seed=1", *QUICK)
    assert (other.code, other.err.count("\n")) == (2, 1)
    assert "run holds a run with other settings (lr_seed is 0 there, 1 here); name" in other.err
    assert (tmp_path / "run/summary.json").read_bytes() == before


def test_a_run_that_was_stopped_goes_on_to_the_same_scores(run, tmp_path, monkeypatch):
    from dcvsr.baselines.interpolation import Upsampling

    whole, restored = Upsampling.__call__, []

    def stopped_after_one(self, lr, *others):
        restored.append(lr)
        if len(restored) == 2:
            raise KeyboardInterrupt
        return whole(self, lr, *others)

    shorter = [key.replace("slide", "return") for key in SMALL]
    usual = ("evaluate", "upscaler=bicubic", *TINY, *SMALL, *shorter, "metrics=fidelity")
    assert run(*usual, "hydra.run.dir=whole").code == 0
    monkeypatch.setattr(Upsampling, "__call__", stopped_after_one)
    assert run(*usual, "hydra.run.dir=stopped").code == 130
    assert not (tmp_path / "stopped/summary.json").exists()
    changed = run(*usual, "lr_seed=1", "hydra.run.dir=stopped")
    assert (changed.code, len(restored)) == (2, 2)
    done = run(*usual, "hydra.run.dir=stopped")
    assert done.code == 0, done.err
    assert "already done: 1 results" in done.out
    assert len(restored) == 3
    results = [(tmp_path / folder / "results.csv").read_text() for folder in ("whole", "stopped")]
    assert results[0] == results[1]
    assert not (tmp_path / "stopped/progress.json").exists()


def test_several_ranks_share_the_clips(run, tmp_path):
    small = [key.replace("slide", "return") for key in SMALL]
    usual = ("evaluate", "upscaler=bicubic", *TINY, *SMALL, *small, "metrics=fidelity", "wandb=none")

    def share():
        done = run(*usual, "hydra.run.dir=shared")
        print(done.err, file=sys.stderr)
        sys.exit(done.code)

    run_ranks(share)
    assert run(*usual, "hydra.run.dir=whole").code == 0
    results = [(tmp_path / folder / "results.csv").read_text() for folder in ("whole", "shared")]
    assert results[0] == results[1]
    assert {path.name for path in (tmp_path / "shared/videos").iterdir()} == {"slide.mp4", "return.mp4"}


def test_ranks_without_a_common_folder_are_refused(run, monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    done = run("evaluate", "upscaler=bicubic", *QUICK[:-1])
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "2 processes need one folder for the run" in done.err


def test_several_seeds_are_one_run(run, train, tmp_path):
    assert train("stage1", "trainer.max_steps=1").code == 0
    small = ("ckpt=required", "data.test.slide.height=64", "data.test.slide.width=64")
    done = run("evaluate", *QUICK, *small, "seeds=2", "seed=3")
    assert done.code == 0, done.err
    together = json.loads((tmp_path / "run/summary.json").read_text())
    assert together["by_seed"].keys() == {"3", "4"}
    alone = run("evaluate", *QUICK[:-1], *small, "seed=4", "hydra.run.dir=alone")
    assert alone.code == 0, alone.err
    assert json.loads((tmp_path / "alone/summary.json").read_text())["clips"] == together["by_seed"]["4"]
    by_seed = [together["by_seed"][seed]["slide"]["psnr"] for seed in "34"]
    assert abs(by_seed[0] - by_seed[1]) > 0
    assert together["clips"]["slide"]["psnr"] == pytest.approx(sum(by_seed) / 2)
    assert together["metrics"]["psnr"]["mean"] == together["clips"]["slide"]["psnr"]


def test_what_draws_nothing_is_run_once_whatever_the_seeds(run, tmp_path):
    assert run("evaluate", "upscaler=bicubic", "seeds=5", *QUICK).code == 0
    assert "by_seed" not in json.loads((tmp_path / "run/summary.json").read_text())


def test_a_dry_run_tells_what_is_ahead_and_restores_nothing(run, tmp_path):
    done = run("evaluate", "upscaler=bicubic", "dry_run=true", *QUICK)
    assert done.code == 0
    assert "clips: 1, seeds: 1, to do: 8 evaluations or frames" in done.out
    assert not (tmp_path / "run/videos").exists()


@pytest.mark.parametrize(
    ("override", "said"), [("seeds=0", "seeds=0"), ("keep=gif", "is not one of mp4, mkv")]
)
def test_what_cannot_be_is_refused_at_once(run, override, said):
    done = run("evaluate", "upscaler=bicubic", override, *QUICK)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert said in done.err


def test_a_clip_that_does_not_fit_into_memory_is_refused_before_the_first_is_restored(
    run, tmp_path, monkeypatch
):
    monkeypatch.setattr("dcvsr.runtime.device.free_memory", lambda device: 1000)
    done = run("evaluate", "upscaler=bicubic", "degradation=bicubic", *QUICK)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "slide: 8 frames of this size need about 0.0 GB, but 0.0 GB are free on cpu" in done.err


def test_results_may_be_kept_without_loss_and_score_the_same_again(run, tmp_path):
    done = run("evaluate", "upscaler=bicubic", "keep=png", *QUICK)
    assert done.code == 0, done.err
    again = run(
        "evaluate", "upscaler=precomputed", "upscaler.path=run/videos", *QUICK[:-1], "hydra.run.dir=again"
    )
    assert again.code == 0, again.err
    scores = [
        json.loads((tmp_path / name / "summary.json").read_text())["clips"] for name in ("run", "again")
    ]
    assert scores[0] == scores[1]


def test_results_at_another_frame_rate_are_refused_before_a_clip_is_scored(run, clip, tmp_path):
    video = read_video(clip)
    write_clip(_made(tmp_path / "results") / clip.name, to_unit(video.frames), Fraction(30), crf=0)
    results = ("upscaler=precomputed", "upscaler.path=results", "metrics=fidelity")
    done = run("evaluate", *results, "data=folder", f"data.path={clip.parent}", "hydra.run.dir=run")
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert "clip has 30 frames per second, its LR 25" in done.err
    assert not (tmp_path / "run/progress.json").exists()


def test_a_run_killed_after_its_frames_were_kept_goes_on(run, tmp_path):
    write_frames(_made(tmp_path / "run/videos") / "slide", [np.zeros((4, 4, 3), np.uint8)], [])
    done = run("evaluate", "upscaler=bicubic", "keep=png", *QUICK)
    assert done.code == 0, done.err
    assert len(list((tmp_path / "run/videos/slide").iterdir())) == 8


def test_a_look_at_attention_is_not_gone_on_with_by_half(run, train, tmp_path):
    assert train("stage1", "trainer.max_steps=1").code == 0
    looking = ("evaluate", *QUICK, "ckpt=required", "debug.attention=true")
    assert run(*looking).code == 0
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    part = {key: summary[key] for key in ("settings", "weights", "cost")} | {"results": {"slide": {"1": {}}}}
    (tmp_path / "run/progress.json").write_text(json.dumps(part))
    (tmp_path / "run/summary.json").unlink()
    done = run(*looking)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "without recorded attention" in done.err


def test_a_clip_that_a_metric_refuses_has_an_empty_cell_and_the_others_score(run, tmp_path):
    still = "_target_:dcvsr.data.synthetic.Translation,seed:1,frames:1,height:64,width:64,dx:0,dy:0"
    only = ("metrics=[psnr,warping_error]", "metrics.flow=dis", *QUICK[-2:])
    done = run("evaluate", "upscaler=bicubic", *TINY, f"+data.test.short={{{still}}}", *only)
    assert done.code == 0, done.err
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["clips"]["short"]["warping_error"] is None
    assert summary["clips"]["short"]["psnr"] > 0
    assert "needs 2, got 1 frames" in summary["refused"]["short"]["warping_error"]
    assert summary["metrics"]["warping_error"]["mean"] == summary["clips"]["slide"]["warping_error"] > 0
    assert summary["unscored"] == {"warping_error": ["short"]}
    assert "means without the clips that have no score: warping_error (short)" in done.out + done.err


def test_a_fade_in_from_black_keeps_its_clip_in_the_mean(run, tmp_path):
    moving = to_unit(Translation(seed=4, frames=4, height=64, width=64, dx=2, dy=0).read(0, 4))
    for name, black in (("fadein", 1), ("plain", 0)):
        frames = (torch.cat([torch.zeros(black, 3, 64, 64), moving[black:]]) * 255).round().byte()
        write_frames(_made(tmp_path / "hr") / name, list(frames.permute(0, 2, 3, 1).numpy()), [])
    done = run(
        "evaluate",
        "upscaler=bicubic",
        "data=folder",
        "data.path=hr",
        "degradation=bicubic",
        "metrics=[psnr,psnr_pooled]",
        "hydra.run.dir=run",
    )
    assert done.code == 0, done.err
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["unscored"] == {}
    means = {name: metric["mean"] for name, metric in summary["metrics"].items()}
    for name in ("psnr", "psnr_pooled"):
        scores = [row[name] for row in summary["clips"].values()]
        assert means[name] == pytest.approx(sum(scores) / 2)
    fadein, plain = summary["clips"]["fadein"], summary["clips"]["plain"]
    assert fadein["psnr"] > plain["psnr"] + 5
    assert abs(fadein["psnr_pooled"] - plain["psnr_pooled"] - 10 * np.log10(4 / 3)) < 1


def test_dcvsr_is_scored_with_the_weights_it_is_given(run, train, tmp_path):
    assert train("stage1", "trainer.max_steps=1").code == 0
    keys = ("ckpt=required", "guidance=dssag", "debug.attention=true", "tile.schedule=overlap")
    done = run("evaluate", *QUICK, *keys, "wandb=offline")
    assert done.code == 0, done.err
    assert len(list((tmp_path / "run/wandb").glob("offline-run-*/*.wandb"))) == 1
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["upscaler"] == "dcvsr"
    assert summary["weights"]["step"] == 1
    assert len(summary["weights"]["sha256"]) == 64
    assert {part for part, flops in summary["cost"]["flops"].items() if flops == 0} == {
        "image_encoder",
        "joint",
    }
    with (tmp_path / "run/attention.csv").open() as file:
        schemes = {row["scheme"]: float(row["mass"]) for row in csv.DictReader(file)}
    assert schemes.keys() == {"sap", "tap"}
    with (tmp_path / "run/frames.csv").open() as file:
        assert {len(row["frames"].split()) for row in csv.DictReader(file)} == {4}


def test_the_model_that_comes_along_is_scored_unless_told_otherwise_whatever_has_been_trained(run, tmp_path):
    """A fresh clone and one in which `make demo` has trained a network."""
    model, newest = shipped("nano"), _made(tmp_path / "outputs/demo/stage2/checkpoints") / "last.ckpt"
    state = {f"denoiser.{name}": weight for name, weight in model.weights.items()}
    torch.save({"dcvsr": {"scale": "nano", "stage": 2}, "state_dict": state, "global_step": 60}, newest)
    looking = ("evaluate", "data=synthetic", "metrics=fidelity", "dry_run=true")
    assert f"weights: {model}" in run(*looking).out
    assert "weights: outputs/demo/stage2/checkpoints/last.ckpt" in run(*looking, "ckpt=required").out


def test_at_the_paper_s_scale_a_checkpoint_of_one_s_own_is_required():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        ckpts = {name: compose(name, ["scale=svd", *given]).ckpt for name, given in COMMANDS.items()}
    assert ckpts == {"evaluate": "required", "figure3": "required"}


def test_a_folder_of_one_s_own_clips_is_a_data_set(run, clip, tmp_path):
    done = run("evaluate", "upscaler=bicubic", "data=folder", f"data.path={clip.parent}", "metrics=fidelity")
    assert done.code == 0, done.err
    done = run(
        "evaluate", "upscaler=bicubic", "data=folder", f"data.path={tmp_path}/none", "metrics=fidelity"
    )
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "none" in done.err


def test_an_lr_set_is_scored_against_its_hr(run, clip, tmp_path):
    """LR degraded during evaluation equals LR degraded beforehand."""
    hr = f"data.path={clip.parent}"
    made = run("degrade", f"input={clip.parent}", "output=lr", "degradation=light", "metrics=fidelity")
    assert made.code == 0, made.err
    usual = ("evaluate", "upscaler=bicubic", "metrics=fidelity")
    at_once = run(*usual, "data=folder", hr, "degradation=light", "hydra.run.dir=a")
    pairs = run(*usual, "data=pairs", hr, "data.lr=lr", "degradation=none", "hydra.run.dir=b")
    assert (at_once.code, pairs.code) == (0, 0), pairs.err
    one, other = (json.loads((tmp_path / name / "summary.json").read_text()) for name in "ab")
    assert one["clips"] == other["clips"]
    assert one["clips"]["clip"].keys() == {"psnr", "ssim"}
    assert one["strength"] == other["strength"] != {"clip": None}, "the manifest tells"


def test_video_without_truth_is_restored_and_not_scored(run, tmp_path):
    for number in range(50):
        write_frames(
            _made(tmp_path / "lq") / f"{number:03d}", [np.full((8, 12, 3), number, np.uint8)] * 2, []
        )
    usual = ("evaluate", "upscaler=bicubic", "data=videolq", "data.path=lq", "hydra.run.dir=run")
    for refused, said in (
        (("degradation=none",), "clip 000 has no HR for psnr, ssim"),
        (("metrics=none",), "clip 000 has its own LR and is not degraded again: choose degradation=none"),
    ):
        done = run(*usual, "metrics=fidelity", *refused)
        assert (done.code, done.err.count("\n")) == (2, 1), done.err
        assert said in done.err
    done = run(*usual, "degradation=none", "metrics=none")
    assert done.code == 0, done.err
    assert "bicubic on VideoLQ: not scored" in done.out
    assert len(list((tmp_path / "run/videos").iterdir())) == 50


def test_video_without_truth_is_scored_by_what_needs_none(run, tmp_path):
    for number in range(50):
        write_frames(
            _made(tmp_path / "lq") / f"{number:03d}", [np.full((8, 12, 3), number, np.uint8)] * 2, []
        )
    done = run(
        "evaluate",
        "upscaler=bicubic",
        "data=videolq",
        "data.path=lq",
        "degradation=none",
        "metrics=temporal",
        "metrics.flow=dis",
        *(f"~metrics.{name}" for name in ("tof", "tof_farneback", "tlp")),
        "hydra.run.dir=run",
    )
    assert done.code == 0, done.err
    means = json.loads((tmp_path / "run/summary.json").read_text())["metrics"]
    assert means == {"warping_error": {"mean": 0, "higher_is_better": False}}


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_a_sweep_runs_every_job_in_a_folder_of_its_own(run, tmp_path):
    done = run("evaluate", "-m", "upscaler=bicubic", "seed=1,2", *QUICK[:-1])
    assert done.code == 0, done.err
    seeds = [
        json.loads(file.read_text())["seed"]
        for file in tmp_path.glob("outputs/evaluate/multirun/*/*/summary.json")
    ]
    assert sorted(seeds) == [1, 2]


@pytest.mark.parametrize(
    "launcher", [[], ["+sweep=parallel", "hydra.launcher.n_jobs=2"]] if under_stress() else [[]]
)
def test_a_mistake_in_one_job_of_a_sweep_leaves_the_others(launcher, run, tmp_path):
    done = run("evaluate", "-m", "upscaler=bicubic", "keep=png,odd,mkv", *QUICK[:-1], *launcher)
    assert done.code == 2
    assert len(list(tmp_path.glob("outputs/evaluate/multirun/*/*/summary.json"))) == 2
    line = done.err.splitlines()[-1]
    assert line.startswith("dcvsr: 1 of 3 jobs failed: keep=odd; outputs/evaluate/multirun/")
    assert line.endswith("/jobs.csv has the reasons")
    assert "Error executing job" not in done.err
    if not launcher:
        assert done.err.count("dcvsr: keep=odd") == 1


def test_a_metric_without_its_weights_is_named_and_the_others_score(run, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("DCVSR_WEIGHTS", raising=False)
    dover = "+metrics.dover._target_=dcvsr.metrics.dover.DOVER"
    done = run("evaluate", "upscaler=bicubic", *QUICK, dover)
    assert done.code == 0, done.err
    assert "dover is missing, and its scores stay empty: DOVER.pth is neither in" in done.out
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["metrics"].keys() == {"psnr", "ssim"}
    assert summary["missing"].keys() == {"dover"}
    alone = run(
        "evaluate",
        "upscaler=bicubic",
        *QUICK,
        dover,
        "~metrics.psnr",
        "~metrics.psnr_pooled",
        "~metrics.ssim",
    )
    assert (alone.code, alone.err.count("\n")) == (2, 1)


def test_other_readings_of_a_metric_are_scored_beside_it(run, tmp_path):
    done = run(
        "evaluate",
        "upscaler=bicubic",
        *TINY,
        "metrics=temporal",
        "metrics.flow=dis",
        *QUICK[-2:],
        "~metrics.tlp",
    )
    assert done.code == 0, done.err
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    scores = summary["clips"]["slide"]
    assert scores["tof_components"] == pytest.approx(scores["tof"] / 2)
    assert summary["metrics"]["tof_endpoint"]["higher_is_better"] is False


def test_a_result_that_lies_beside_its_truth_is_warned_of(run, monkeypatch):
    from dcvsr.baselines.interpolation import Upsampling

    whole = Upsampling.__call__
    monkeypatch.setattr(Upsampling, "__call__", lambda *arguments: whole(*arguments).roll(2, dims=-1))
    done = run("evaluate", "upscaler=bicubic", *QUICK)
    assert "slide: the result lies +2.0 pixels right of and" in done.out


def test_sizes_and_counts_that_differ_are_refused(run, tmp_path, monkeypatch):
    """An upscaler that loses a frame is an error, never trimmed."""
    from dcvsr.baselines.interpolation import Upsampling

    monkeypatch.setattr(Upsampling, "__call__", lambda self, lr, *_: torch.rand(7, 3, 80, 80))
    done = run("evaluate", "upscaler=bicubic", *QUICK)
    assert (done.code, done.err.strip().splitlines()[-1].startswith("dcvsr: cannot score 7 frames")) == (
        2,
        True,
    )
    assert not (tmp_path / "run/results.csv").exists()


def test_calibration_tells_each_convention_s_value_and_what_is_missing(run, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    still = "_target_:dcvsr.data.synthetic.Translation,seed:1,frames:5,height:64,width:64,dx:1,dy:0"
    clips = ("data=synthetic", "~data.test.return", f"data.test.slide={{{still}}}", "data.name=REDS4")
    done = run("calibrate", "degradation=bicubic", *clips, "hydra.run.dir=run")
    assert done.code == 0, done.err
    table = (tmp_path / "run/calibration.md").read_text()
    assert "25.92" in table, "the paper's value of bicubic on REDS4"
    assert (tmp_path / "run/calibration.csv").is_file()
    found = json.loads((tmp_path / "run/calibration.json").read_text())
    assert "DOVER.pth is neither in" in found["missing"]["dover_overall"]
    assert not (tmp_path / "run/videos").exists()


def test_calibration_names_the_file_that_a_golden_folder_lacks(run, tmp_path):
    done = run("calibrate", f"golden={tmp_path}", "data=synthetic", "hydra.run.dir=run")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "ex_p0.png" in done.err


def test_the_former_flag_names_the_command_calibrate(run):
    done = run("evaluate", "calibrate=true", "golden=my images", "data=reds", "wandb=none")
    assert (done.code, done.err) == (
        2,
        "dcvsr: calibrate=true is a command of its own now: python -m dcvsr.evaluation.calibration "
        "'golden=my images' data=reds wandb=none\n",
    )

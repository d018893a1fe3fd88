"""A video in, the same video upscaled four times out."""

import json
import re
import shutil
import sys
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from PIL import Image

from dcvsr.data.packaged import packaged
from dcvsr.runtime.cli import CONF
from dcvsr.runtime.device import settled_precision
from dcvsr.video.io import read_video, to_unit, write_clip
from tests.conftest import TINY_MODEL
from tests.data.making import add_subtitles, make_video, noise
from tests.training.forked import run_ranks


@pytest.fixture
def upscale(run):
    """Upscale with a tiny model of random weights, the same each time."""

    def invoke(*arguments: str):
        torch.manual_seed(0)
        return run("upscale", *TINY_MODEL, "ckpt=null", *arguments)

    return invoke


def _as_many(source: Path, result: Path) -> None:
    before, after = read_video(source), read_video(result)
    frames, _, height, width = before.frames.shape
    assert after.frames.shape == (frames, 3, 4 * height, 4 * width)
    assert after.rate == before.rate


def test_a_real_clip_keeps_its_frames_size_and_rate_and_says_what_was_done(upscale, tmp_path):
    source = tmp_path / "carphone.mp4"
    face = read_video(packaged("carphone_pristine")).frames[:5, :, 52:92, 60:108]
    write_clip(source, to_unit(face), Fraction(30000, 1001), crf=0)
    done = upscale(f"input={source}", "output=big.mp4", "seed=7")
    assert done.code == 0, done.err
    _as_many(source, tmp_path / "big.mp4")
    report = json.loads((tmp_path / "big.mp4.json").read_text())
    assert (report["frames"], report["size"], report["rate"]) == (5, [192, 160], "30000/1001")
    assert (report["seed"], report["settings"]["sampler"]["steps"], report["weights"]) == (7, 2, None)
    assert report["settings"]["precision"] == settled_precision("auto", torch.device("cpu")) != "auto"
    assert report["versions"]["torch"] == version("torch")


def test_the_report_holds_the_warnings_that_were_printed(run, tmp_path):
    make_video(tmp_path / "a.mp4", noise(3))
    add_subtitles(tmp_path / "a.mkv", tmp_path / "a.mp4", {"hello": (0, 80)})
    done = run("upscale", "upscaler=bicubic", "input=a.mkv", "output=b.mp4")
    [warning] = json.loads((tmp_path / "b.mp4.json").read_text())["warnings"]
    assert "subtitle track 1 (subrip)" in warning
    assert (done.out + done.err).count(warning) == 1
    run("upscale", "upscaler=bicubic", "input=a.mp4", "output=b.mp4")
    assert json.loads((tmp_path / "b.mp4.json").read_text())["warnings"] == []


def test_audio_comes_along(run, tmp_path):
    make_video(tmp_path / "a.mp4", noise(10), audio="aac")
    assert run("upscale", "upscaler=bicubic", "input=a.mp4", "output=b.mp4").code == 0
    packets = []
    for name in ("a.mp4", "b.mp4"):
        with av.open(tmp_path / name) as container:
            packets.append([bytes(packet) for packet in container.demux(audio=0) if packet.size])
    assert packets[0] == packets[1] != []


@pytest.mark.parametrize(
    "name", ["clip (1).mp4", "été.mp4", "a,b.mp4", "a&b.mp4", "100%.mp4", "-x.mp4", "it's.mkv"]
)
def test_file_names_are_taken_as_they_are(run, clip, tmp_path, name):
    shutil.copy(clip, tmp_path / name)
    done = run("upscale", "upscaler=bicubic", f"input={name}", f"output=big {name}")
    assert done.code == 0, done.err
    _as_many(tmp_path / name, tmp_path / f"big {name}")


def test_a_tilde_is_expanded(run, clip, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copy(clip, tmp_path / "a.mp4")
    assert run("upscale", "upscaler=bicubic", "input=~/a.mp4", "output=~/b.mp4").code == 0
    _as_many(tmp_path / "a.mp4", tmp_path / "b.mp4")


@pytest.mark.parametrize(("frames", "height", "width"), [(1, 18, 14), (3, 9, 33), (6, 40, 22)])
def test_a_folder_of_frames_of_any_size_and_length_becomes_one(upscale, tmp_path, frames, height, width):
    (tmp_path / "in").mkdir()
    for index in range(frames):
        Image.effect_noise((width, height), 30).convert("RGB").save(tmp_path / "in" / f"shot{index}.png")
    done = upscale("input=in", "output=out")
    assert done.code == 0, done.err
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        f"shot{i}.png" for i in range(frames)
    ]
    _as_many(tmp_path / "in", tmp_path / "out")
    assert (tmp_path / "out.json").is_file()


def test_the_same_seed_gives_the_same_pixels(upscale, clip, tmp_path):
    for output, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert upscale(f"input={clip}", f"output={output}", f"seed={seed}").code == 0
    a, b, c = (read_video(tmp_path / name).frames for name in "abc")
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_two_ranks_write_the_pixels_of_one(upscale, clip, tmp_path):
    def share():
        sys.exit(upscale(f"input={clip}", "output=two.mkv", "codec=ffv1").code)

    run_ranks(share)
    assert upscale(f"input={clip}", "output=one.mkv", "codec=ffv1").code == 0
    one, two = (read_video(tmp_path / f"{name}.mkv").frames for name in ("one", "two"))
    assert torch.equal(one, two)
    report = json.loads((tmp_path / "two.mkv.json").read_text())
    assert sum(report["cost"]["ranks"]["evaluations"]) == report["evaluations"]
    assert {path.name for path in (tmp_path / "outputs").rglob("upscale.log")} == {"upscale.log"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*TINY_MODEL, "upscaler.batch=null"), "give a number, such as upscaler.batch=1"),
        (
            (*TINY_MODEL, "debug.attention=true"),
            "records what one process computes; start it without torchrun",
        ),
    ],
)
def test_what_ranks_cannot_share_is_refused(run, clip, arguments, said, capfd):
    def share():
        done = run("upscale", f"input={clip}", "output=big.mkv", "ckpt=null", *arguments)
        print(done.err, file=sys.__stderr__)
        sys.exit(done.code)

    run_ranks(share, codes=(2, 1))
    assert said in capfd.readouterr().err


def test_half_of_torchrun_s_environment_is_one_line(run, clip, monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    done = run("upscale", f"input={clip}", "output=big.mkv")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "LOCAL_RANK, MASTER_ADDR, MASTER_PORT is missing; start it with torchrun" in done.err


def test_looking_at_the_attention_leaves_the_pixels_and_writes_tables(upscale, clip, tmp_path):
    for output in ("a", "b"):  # PNG: x264's macroblock tree is not the same each time
        assert upscale(f"input={clip}", f"output={output}", f"debug.attention={output == 'b'}").code == 0
    assert torch.equal(*(read_video(tmp_path / name).frames for name in ("a", "b")))
    assert not list(tmp_path.glob("a.*.csv"))
    header, *rows = (tmp_path / "b.attention.csv").read_text().splitlines()
    assert header == "clip,step,sigma,scheme,direction,window,tile,layer,mass"
    assert {row.split(",")[0] for row in rows} == {"clip"}
    assert (tmp_path / "b.frames.csv").is_file()
    cost = json.loads((tmp_path / "b.json").read_text())["cost"]
    assert cost["flops"]["total"] > cost["flops"]["plain"] > 0


def test_bicubic_needs_no_weights_at_any_scale(run, clip, tmp_path):
    assert run("upscale", "scale=svd", "upscaler=bicubic", f"input={clip}", "output=b.mp4").code == 0
    _as_many(clip, tmp_path / "b.mp4")


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(upscale, clip, tmp_path):
    done = upscale(f"input={clip}", "output=b.mp4", "dry_run=true")
    assert done.code == 0
    assert re.search(r"work: \d+ U-Net evaluations", done.out)
    assert not list(tmp_path.glob("b.*"))


def test_what_does_not_fit_into_memory_is_refused_before_it_is_tried(upscale, clip, tmp_path, monkeypatch):
    monkeypatch.setattr("dcvsr.runtime.device.free_memory", lambda device: 1_000_000)
    done = upscale(f"input={clip}", "output=b.mp4")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "but 0.0 GB are free on cpu: use smaller tile.frames" in done.err
    assert not list(tmp_path.glob("b.mp4*"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["input=none.mp4", "output=b.mp4"], "none.mp4 does not exist"),
        (["input=empty.mp4", "output=b.mp4"], "empty.mp4 is empty"),
        (["input=text.mp4", "output=b.mp4"], "text.mp4 cannot be read as a video"),
        (["input=cut.mp4", "output=b.mp4"], "cut.mp4"),
        (["input=folder", "output=b.mp4"], "folder"),
        (["input=mixed", "output=b.mp4"], "mixed"),
        (["input=clip.mp4", "output=clip.mp4"], "clip.mp4 is the input itself"),
        (["input=clip.mp4", "output=b.gif"], "b.gif"),
        (["input=clip.mp4", "output=nowhere/b.mp4"], "nowhere"),
        (["input=clip.mp4", "output=b.mp4", "ckpt=text.mp4"], "text.mp4 is not a dcvsr checkpoint"),
        (
            ["input=clip.mp4", "output=b.mp4", "ckpt=required"],
            "no stage-3 or -2 or -1 checkpoint of scale=nano",
        ),
        (["input=clip.mp4", "output=b.mp4", "device=tpu"], "device=tpu is not one of auto, cpu, cuda"),
        (
            ["input=clip.mp4", "output=b.mp4", "precision=half"],
            "half is not one of auto, float32, bfloat16",
        ),
        (["input=clip.mp4", "output=b.mp4", "fps=25"], "a rate is for folders of frames"),
        (
            ["input=mixed", "output=b.mp4", "fps=fast"],
            "fps=fast is not a number from 0.001",
        ),
        (["input=clip.mp4", "output=b.mp4", "crf=99"], "crf=99 is not a number from 0 to 51"),
        (["input=clip.mp4", "output=b.mp4", "seed=-1"], "seed=-1 is not a whole number from 0 to 18"),
        (["input=clip.mp4", "output=b.mp4", "seed=1.5"], "seed=1.5 is not a whole number"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(run, clip, tmp_path, arguments, said):
    shutil.copy(clip, tmp_path / "clip.mp4")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video at all")
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    (tmp_path / "folder").mkdir()
    (tmp_path / "mixed").mkdir()
    for side in (16, 24):
        Image.new("RGB", (side, side)).save(tmp_path / "mixed" / f"{side}.png")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    done = run("upscale", *TINY_MODEL, "ckpt=null", *arguments)
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert said in done.err
    after = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path.name != "outputs"}
    assert after == before


def test_a_checkpoint_of_another_scale_is_refused(run, clip, tmp_path):
    torch.save(
        {"dcvsr": {"scale": "svd", "stage": 1}, "state_dict": {}, "global_step": 1}, tmp_path / "svd.ckpt"
    )
    done = run("upscale", f"input={clip}", "output=b.mp4", "ckpt=svd.ckpt")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "svd.ckpt has scale=svd and this run scale=nano" in done.err


def test_a_checkpoint_of_another_model_is_refused(run, clip, tmp_path):
    torch.save(
        {"dcvsr": {"scale": "nano", "stage": 1}, "state_dict": {}, "global_step": 1}, tmp_path / "other.ckpt"
    )
    done = run("upscale", f"input={clip}", "output=b.mp4", "ckpt=other.ckpt")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "holds another model" in done.err


@pytest.mark.parametrize("command", ["upscale", "plan", "evaluate"])
def test_a_checkpoint_of_another_sampler_is_warned_of_before_the_work(command, run, clip, tmp_path):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        denoiser = instantiate(compose("upscale", ["input=a", "output=b", *TINY_MODEL]).model.denoiser)
    state = {f"denoiser.{name}": weight for name, weight in denoiser.state_dict().items()}
    sampler = {"steps": 1, "solver": "euler", "sigma_min": 15, "sigma_max": 60, "rho": 7}
    about = {"scale": "nano", "stage": 3, "sampler": sampler}
    torch.save({"dcvsr": about, "state_dict": state, "global_step": 1}, tmp_path / "one.ckpt")
    given = {
        "upscale": [f"input={clip}", "output=b.mp4", "dry_run=true"],
        "plan": [f"input={clip}", "probe=false"],
        "evaluate": ["data=synthetic", "metrics=fidelity", "dry_run=true"],
    }[command]
    done = run(command, *TINY_MODEL, "ckpt=one.ckpt", "sampler.steps=2", *given)
    assert done.code == 0, done.err
    warning, *others = done.out.splitlines()
    assert warning.endswith(
        "one.ckpt was trained for sampler.steps=1 (noise levels 60), this run uses sampler.steps=2 (60, 15): "
        "add sampler.steps=1"
    )
    assert not any("was trained for" in line for line in others)
    if command == "evaluate":
        same = run(command, *TINY_MODEL, "ckpt=one.ckpt", "sampler.steps=1", *given)
        assert (same.code, "was trained for" in same.out) == (0, False)


def test_a_checkpoint_is_never_executed(run, clip, tmp_path):
    class Hostile:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    torch.save({"dcvsr": Hostile()}, tmp_path / "hostile.ckpt")
    assert run("upscale", f"input={clip}", "output=b.mp4", "ckpt=hostile.ckpt").code == 2
    assert not (tmp_path / "executed").exists()


def test_alpha_is_upscaled_beside_into_pngs_and_refused_elsewhere(run, tmp_path):
    image = np.full((16, 16, 4), 200, np.uint8)
    image[:, :8, 3] = 0
    make_video(tmp_path / "a.mov", [av.VideoFrame.from_ndarray(image, "rgba")] * 2, "png", "rgba")
    base = ["upscale", "upscaler=bicubic", "input=a.mov"]
    for arguments in (["output=b"], ["output=b.mp4", "alpha=bicubic"], ["output=b", "alpha=maybe"]):
        refused = run(*base, *arguments)
        assert refused.code == 2
        assert "alpha=" in refused.err
    done = run(*base, "output=b", "alpha=bicubic")
    assert done.code == 0, done.err
    written = np.asarray(Image.open(tmp_path / "b" / "00000001.png"))
    assert written.shape == (64, 64, 4)
    assert (written[..., 3][:, :28].max(), written[..., 3][:, 36:].min()) == (0, 200)


def test_a_deep_video_comes_out_deep_in_another_codec(run, tmp_path):
    image = np.random.default_rng(0).integers(0, 65536, (16, 16, 3), np.uint16)
    frame = av.VideoFrame.from_ndarray(image, "rgb48le").reformat(format="gbrp10le")
    make_video(tmp_path / "a.mkv", [frame] * 2, "ffv1", "gbrp10le")
    base = ["upscale", "upscaler=bicubic", "input=a.mkv"]
    refused = run(*base, "output=b.webm")
    assert refused.code == 2
    assert "write to .mp4 or .mkv or .mov" in refused.err
    done = run(*base, "output=b.mkv", "codec=x265", "codec_options={preset: fast}")
    assert done.code == 0, done.err
    with av.open(str(tmp_path / "b.mkv")) as file:
        assert [frame.format.name for frame in file.decode(video=0)] == ["yuv420p10le"] * 2
    assert json.loads((tmp_path / "b.mkv.json").read_text())["warnings"] == []


def test_a_job_goes_on_with_another_codec_and_depth(run, tmp_path):
    make_video(tmp_path / "a.mp4", noise(2, 16, 16))
    base = ["upscale", "upscaler=bicubic", "input=a.mp4", "output=b.mkv", "engine.keep=true"]
    assert run(*base).code == 0
    done = run(*base, "codec=ffv1", "crf=3", "pix_fmt=yuv420p10le")
    assert done.code == 0, done.err
    report = json.loads((tmp_path / "b.mkv.json").read_text())
    assert report["resumed"]
    assert "frames of 8 bits" in report["warnings"][0]
    with av.open(str(tmp_path / "b.mkv")) as file:
        assert next(file.decode(video=0)).format.name == "yuv420p10le"

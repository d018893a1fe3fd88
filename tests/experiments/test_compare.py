"""The comparison with the authors' results finds the reading that made a result."""

import csv
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir

import dcvsr
from dcvsr.data.synthetic import Translation
from dcvsr.evaluation import clip_scores
from dcvsr.models import configured
from dcvsr.runtime.cli import CONF
from dcvsr.runtime.config_keys import keys
from dcvsr.runtime.options import options
from dcvsr.video.frame_folder import write_frames
from dcvsr.video.io import read_video, to_bytes, to_unit
from tests.conftest import TINY_MODEL

FOLDER = Path(__file__).parents[2] / "experiments/authors"
SETTINGS = (*TINY_MODEL, "ckpt=null", "guidance=dssag", "device=cpu", "precision=float32")


@pytest.fixture(scope="module")
def scripts() -> Any:
    """Import the script and the modules beside it."""
    sys.path.insert(0, str(FOLDER))
    try:
        import compare
        import ranking
        import readings
    finally:
        sys.path.remove(str(FOLDER))
    return SimpleNamespace(compare=compare, ranking=ranking, readings=readings)


@pytest.fixture(autouse=True)
def without_networks_of_metrics(scripts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripts.compare, "METRICS", ("psnr", "sharpness"))


@pytest.fixture(scope="module")
def lr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a clip that takes two tiles."""
    frames = Translation(seed=0, frames=4, height=16, width=20, dx=0.5, dy=0.2).read(0, 4)
    return folder_of(tmp_path_factory.mktemp("clips") / "lr", frames)


@pytest.fixture(scope="module")
def results(lr: Path) -> dict[str, Path]:
    """Upscale the clip under two readings, as their authors would have done."""
    frames = to_unit(read_video(lr).frames)
    made = {}
    for reading in ("a11_double", "a16_wide"):
        torch.manual_seed(0)
        upscaler = dcvsr.load("nano", overrides=[*SETTINGS, f"+alternative={reading}"])
        made[reading] = folder_of(lr.with_name(reading), to_bytes(upscaler(frames)))
    return made


def folder_of(path: Path, frames: torch.Tensor) -> Path:
    write_frames(path, frames.permute(0, 2, 3, 1).contiguous().numpy(), [])
    return path


def ranked(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "ranking.json").read_text())


@pytest.mark.parametrize("reading", ["a11_double", "a16_wide"])
def test_reading_that_made_the_result_ranks_first(reading, scripts, lr, results, tmp_path, monkeypatch):
    loads = []
    load = configured.configured_upscaler
    monkeypatch.setattr(configured, "configured_upscaler", lambda cfg: loads.append(cfg) or load(cfg))
    given = [f"lr={lr}", f"sr={results[reading]}", f"output={tmp_path}", "seeds=2"]
    scripts.compare.main([*given, "readings=a11_double,a13,a16_wide", *SETTINGS])
    report = ranked(tmp_path)
    first, *others = report["ranking"]
    assert (first["reading"], first["scores"]["psnr"]) == (reading, 60)
    assert first["against_default"] == "equals the authors' pixels"
    assert (first["mean_rank"], first["colour"]) == (1, [0, 0, 0])
    assert all(other["scores"]["psnr"] < 60 and other["colour"] != [0, 0, 0] for other in others)
    assert [(row["reading"], row["seed"]) for row in report["ranking"]][-1] == ("default", 1)
    assert len(others) == 4
    assert report["spread"]["psnr"] > 0
    assert len(loads) == 2  # the default's networks, and those that A13 changes

    assert (report["weights"], report["seeds"], report["settings"]["sampler"]["steps"]) == (None, [0, 1], 2)
    assert report["command"].startswith(f"python experiments/authors/compare.py lr={lr} sr=")
    assert report["sr"]["lossless"]
    assert report["sr"]["size"] == [80, 64]
    assert len(report["lr"]["pixels_sha256"]) == 64 != report["sr"]["pixels_sha256"]
    rows = list(csv.DictReader((tmp_path / "ranking.csv").open()))
    assert [row["reading"] for row in rows] == [row["reading"] for row in report["ranking"]]
    page = (tmp_path / "ranking.md").read_text()
    assert f"| 1 | {reading} | 60.00 | - | - | 1.0000" in page


def test_finished_readings_are_reused_only_for_the_same_content(
    scripts, lr, results, tmp_path, monkeypatch, capsys
):
    given = [f"lr={lr}", f"output={tmp_path}", "readings=a16_wide", "seeds=1", *SETTINGS]
    sr, other = (f"sr={results[reading]}" for reading in ("a16_wide", "a11_double"))
    scores = iter([clip_scores.score_clip])

    def stopped(*clips: Any) -> Any:
        if score := next(scores, None):
            return score(*clips)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(clip_scores, "score_clip", stopped)
        with pytest.raises(SystemExit, match="130"):
            scripts.compare.main([*given, sr])
    assert not list(tmp_path.glob("ranking.*"))
    for left in (1, 0):
        capsys.readouterr()
        scripts.compare.main([*given, sr])
        assert f"to do: {left} of 2 upscalings" in capsys.readouterr().out
    scripts.compare.main([*given, other, "dry_run=true"])
    assert "to do: 2 of 2 upscalings" in capsys.readouterr().out
    monkeypatch.setattr("dcvsr.runtime.hashing.software", lambda: {"dcvsr": "another version"})
    scripts.compare.main([*given, sr, "dry_run=true"])
    assert "to do: 2 of 2 upscalings" in capsys.readouterr().out


def test_a_dry_run_names_readings_evaluations_and_what_does_not_apply(scripts, lr, results, tmp_path, capsys):
    output = tmp_path / "out"
    plain = [one for one in SETTINGS if one != "guidance=dssag"]
    given = [f"lr={lr}", f"sr={results['a11_double']}", f"output={output}", "dry_run=true"]
    chosen = "readings=a04,a08_frame,a13,a16,a17,a20"
    scripts.compare.main([*given, *plain, chosen, "+alternative=a16_wide"])
    said = capsys.readouterr().out
    assert "default, seed 2: 4 evaluations\n" in said
    assert "a17_pad, seed 0: 4 evaluations\n" in said
    assert "to do: 7 of 7 upscalings, 28 evaluations\n" in said
    assert "a08_frame: left out, scale=nano has no guidance.maxima under these settings\n" in said
    assert "a20_overlap: left out, scale=nano has no model.latents.autoencoder.overlap" in said
    assert "a16_wide: left out, it is the default under these settings\n" in said
    assert not output.exists()


def test_all_readings_of_inference_apply_to_the_paper_s_scale(scripts):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        base = compose("upscale", ["scale=svd", "input=null", "output=null"])
    settings, left_out = scripts.readings.applied(base, scripts.readings.chosen_readings([]))
    assert left_out == {}
    assert sorted({"default", *settings}) == options("alternative")
    assert settings["a14_svd"].upscaler.noise_augmentation == 0.02
    assert scripts.readings.plain(settings["a14_svd"])["model"]["denoiser"]["ids"] == [8, 127, 0.02]
    changed = dict(keys(scripts.readings.plain(settings["a11_svd_ramp"])))
    before = dict(keys(scripts.readings.plain(base)))
    assert {key for key in changed if not isinstance(changed[key], dict) and changed[key] != before[key]} == {
        "guidance.scale",
        "guidance.first_scale",
        "upscaler.guidance.scale",
        "upscaler.guidance.first_scale",
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["sr=short"], "short has 3 frames and lr has 4; give two clips of the same frames"),
        (["sr=lr"], "lr is 20x16 and lr is 20x16; its x4 result is 80x64"),
        (["sr=nowhere"], "nowhere does not exist"),
        (["sr="], "missing sr=...; --help"),
        (["frames=6"], "frames=6 is more than lr has; give 1 to 4"),
        (["frames=none"], "frames=none is not a number of frames"),
        (["seeds=0"], "seeds=0 is not a number of seeds; give 1 or more"),
        (["readings=a99"], "a99 is not a reading; choose readings=a01_every_fourth,"),
        (["dry_run=yes"], "dry_run=yes is not true or false"),
        (["crf=3"], "crf=3 is not a key of this script"),
        (["everything"], "everything is not KEY=VALUE"),
        (["sampler.stepz=3"], "did you mean 'sampler.steps'?"),
        (["guidance.maxima=row"], "maxima: 'row' is not a choice; choose head, frame or tile"),
        (["upscaler=bicubic"], "readings are of DC-VSR; use upscaler=dcvsr"),
        (["output=taken", "readings=a16"], "cannot write to taken: File exists"),
        (["ckpt=nowhere.ckpt"], "nowhere.ckpt"),
    ],
)
def test_bad_input_ends_in_one_line(given, said, scripts, lr, results, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, source, frames in (("lr", lr, 4), ("sr", results["a11_double"], 4), ("short", lr, 3)):
        folder_of(tmp_path / name, read_video(source).frames[:frames])
    (tmp_path / "taken").touch()
    with pytest.raises(SystemExit, match="2"):
        scripts.compare.main(["lr=lr", "sr=sr", *SETTINGS, *given])
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not list(tmp_path.rglob("ranking.*"))


def result(reading: str, seed: int, psnr: float, lpips: float | None, pixels: str = "") -> dict[str, Any]:
    scores = {"psnr": psnr, "lpips": lpips, "edge_sharpness": 0.5}
    names = {"reading": reading, "seed": seed, "pixels": pixels or f"{reading}{seed}", "seconds": 1.0}
    return {**names, "scores": scores, "colour": [0.5, -2.0, 0.0]}


def test_differences_inside_the_spread_over_seeds_are_noise(scripts):
    found = scripts.ranking.ranking(
        [
            result("default", 0, 30, 0.2),
            result("default", 1, 31, 0.23),
            result("near", 0, 30.9, 0.18),
            result("far", 0, 28, 0.1),
            result("equal", 0, 30, 0.2, pixels="default0"),
        ],
        authors="theirs",
    )
    assert found.spread == pytest.approx({"psnr": 1, "lpips": 0.03, "edge_sharpness": 0, "colour": 0})
    verdicts = {row.result["reading"]: row.verdict for row in found.rows}
    assert verdicts == {
        "default": "default",
        "near": "within noise",
        "far": "closer: lpips; farther: psnr",
        "equal": "same pixels as the default",
    }
    ranks = {row.result["reading"]: row.mean_rank for row in found.rows}
    assert ranks == {"near": (1 + 2 + 1 + 1) / 4, "far": (4 + 1 + 1 + 1) / 4, "default": 1.75, "equal": 1.75}
    assert found.rows[0].result["reading"] == "near"


def test_without_seeds_nothing_is_noise_and_unknown_scores_do_not_rank(scripts):
    found = scripts.ranking.ranking([result("default", 0, 30, None), result("a", 0, 31, 0.2)], "theirs")
    assert found.spread == {}
    assert [row.verdict for row in found.rows] == ["closer: psnr", "default"]
    assert [row.mean_rank for row in found.rows] == [1, pytest.approx(4 / 3)]

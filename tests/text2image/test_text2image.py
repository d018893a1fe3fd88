"""The text2image command (Table 3) on a small random Stable Diffusion."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.metrics.making import Colours, frechet

QUICK = ("text2image", "sampler.steps=2", "captions.count=2", "inception=missing.pth", "hydra.run.dir=run")
FORWARDS = {"none": 1, "cfg": 2, "sag": 3, "pag": 3, "dssag": 2}


def images(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "images").iterdir())}


def summary(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())


def test_each_guidance_has_its_forwards_and_without_inception_scores_are_missing(run, tmp_path):
    real_images(tmp_path / "real", 2)
    made = []
    for guidance, forwards in FORWARDS.items():
        folder = tmp_path / guidance
        done = run(*QUICK, f"guidance={guidance}", f"hydra.run.dir={folder}", "real_images=real")
        assert done.code == 0, done.err
        found = summary(folder)
        assert (found["upscaler"], found["dataset"]) == (guidance, "2 captions, random weights")
        assert found["clips"] == {"captions": {"forwards": forwards}}
        assert found["metrics"] == {"forwards": {"mean": forwards, "higher_is_better": False}}
        assert found["missing"].keys() == {"is", "fid"}
        assert found["cost"]["evaluations"] == forwards * 2 * 2
        with (folder / "results.csv").open() as file:
            assert list(csv.reader(file))[1:] == [["captions", "forwards", f"{forwards}.0"]]
        assert "fid is missing, and its scores stay empty: " in done.out
        assert images(folder).keys() == {"00000.png", "00001.png"}
        made += images(folder).values()
    assert len(set(made)) == 2 * len(FORWARDS)


def test_table_3_of_random_weights_explains_why_it_lacks_the_papers_values(run, tmp_path):
    done = run("text2image", "-m", "+experiment=table3", *QUICK[1:-1], "hydra.sweep.dir=sweep")
    assert done.code == 0, done.err
    done = run("report", "runs=sweep", "+paper=table3", "output=table3.html")
    assert done.code == 0, done.err
    text = (tmp_path / "table3.md").read_text()
    rows = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert {row[0]: row[1:4] for row in rows if row[0] in ("sag", "pag", "dssag")} == {
        "sag": ["-", "-", "3.0000"],
        "pag": ["-", "-", "3.0000"],
        "dssag": ["-", "-", "2.0000"],
    }
    for shown in (text, (tmp_path / "table3.html").read_text()):
        assert "(2 captions, random weights)" in shown
        assert (
            "they are shown only for images of pipeline=sd and 10,000 captions of captions_val2014.json"
            in shown
        )


def captions_file(path: Path, images: str, count: int = 3) -> Path:
    """Write captions in COCO's layout; ``images`` is the prefix of the image names."""
    content = {
        "images": [{"id": i, "file_name": f"{images}{i:012d}.jpg"} for i in range(count)],
        "annotations": [{"image_id": i, "id": i, "caption": f"caption {i}"} for i in range(count)],
    }
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("images", "pipeline", "count", "dataset"),
    [
        ("COCO_val2014_", "sd", 3, "COCO2014"),
        ("COCO_val2014_", "sd", 2, "2 captions of captions.json, Stable Diffusion"),
        ("COCO_train2014_", "sd", 3, "3 captions of captions.json, Stable Diffusion"),
        ("COCO_val2014_", "random", 3, "3 captions of captions.json, random weights"),
    ],
)
def test_the_dataset_is_coco2014_only_with_real_weights_and_all_captions(
    run, tmp_path, monkeypatch, images, pipeline, count, dataset
):
    """``dataset.count=3`` replaces the paper's 10,000 captions, and a small pipeline Stable Diffusion's."""
    from dcvsr.text2image import stable_diffusion

    small = stable_diffusion.small_random()
    monkeypatch.setattr(stable_diffusion, "pretrained", lambda weights, precision: small)
    path = captions_file(tmp_path / "captions.json", images)
    options = (f"pipeline={pipeline}", "captions=coco", f"captions.path={path}", "dataset.count=3")
    usual = [option for option in QUICK if not option.startswith("captions.count")]
    done = run(*usual, *options, f"captions.count={count}")
    assert done.code == 0, done.err
    assert summary(tmp_path / "run")["dataset"] == dataset


def test_a_stopped_run_resumes_to_the_same_images(run, tmp_path):
    usual = (*QUICK, "captions.count=3", "batch=2")
    assert run(*usual, "hydra.run.dir=whole").code == 0
    assert run(*usual).code == 0
    kept = tmp_path / "run/images/00000.png"
    before = kept.stat().st_mtime_ns
    for lost in ("images/00001.png", "images/00002.png", "summary.json"):
        (tmp_path / "run" / lost).unlink()
    assert "3 images, 3 to do" in run(*usual).out  # with the image of the first batch that was kept
    assert images(tmp_path / "run") == images(tmp_path / "whole")
    assert kept.stat().st_mtime_ns == before
    one, other = (summary(tmp_path / name) for name in ("run", "whole"))
    assert one["clips"] == other["clips"]


def test_a_run_resumes_with_more_captions_and_is_rescored(run, tmp_path):
    usual = (*QUICK, "batch=1")
    assert run(*usual, "captions.count=1").code == 0
    first = images(tmp_path / "run")
    done = run(*usual)
    assert "2 images, 1 to do" in done.out
    assert images(tmp_path / "run").items() > first.items()
    assert summary(tmp_path / "run")["cost"]["evaluations"] == 2 * 2 * 2


def test_images_of_other_settings_are_rejected(run):
    assert run(*QUICK, "captions.count=1").code == 0
    done = run(*QUICK, "captions.count=1", "guidance.scale=3")
    assert (done.code, done.err.count("dcvsr: ")) == (2, 1), done.err
    assert "guidance.scale is 6.5 there, 3 here" in done.err


def test_noise_levels_of_the_guidance_default_to_the_samplers(run, tmp_path):
    assert run(*QUICK, "sampler.sigma_max=10").code == 0
    guidance = summary(tmp_path / "run")["settings"]["guidance"]
    assert guidance["sigma_max"] == 10
    assert 0 < guidance["sigma_min"] < 1


def test_fid_is_the_frechet_distance_to_the_real_images(run, tmp_path, monkeypatch):
    from dcvsr.text2image import image_scores

    monkeypatch.setattr(image_scores, "embedding", lambda output, weights: Colours())
    colours = real_images(tmp_path / "real", 5)
    done = run(*QUICK, "captions.count=6", "real_images=real", "metrics.is.splits=1")
    assert done.code == 0, done.err
    made = [np.asarray(Image.open(path)) / 255 for path in sorted((tmp_path / "run/images").iterdir())]
    found = summary(tmp_path / "run")
    expected = frechet(colours, np.stack([image.mean((0, 1)) for image in made]))
    assert found["clips"]["captions"]["fid"] == pytest.approx(expected, rel=1e-3)
    assert found["metrics"]["is"]["mean"] > 1
    assert {name: metric["higher_is_better"] for name, metric in found["metrics"].items()} == {
        "is": True,
        "fid": False,
        "forwards": False,
    }
    assert found["missing"] == {}


def test_a_set_too_small_for_a_score_has_an_empty_cell(run, tmp_path, monkeypatch):
    from dcvsr.text2image import image_scores

    monkeypatch.setattr(image_scores, "embedding", lambda output, weights: Colours())
    real_images(tmp_path / "real", 2)
    done = run(*QUICK, "captions.count=1", "real_images=real")
    assert done.code == 0, done.err
    found = summary(tmp_path / "run")
    assert found["clips"]["captions"].keys() == {"forwards"}
    assert found["missing"] == {
        "is": "IS in 10 parts needs 20 images, got 1",
        "fid": "FID needs at least two images",
    }


def real_images(folder: Path, count: int) -> np.ndarray:
    """Write images of one colour each and return the colours ``n 3``."""
    folder.mkdir()
    colours = np.random.default_rng(0).integers(0, 256, (count, 3), dtype=np.uint8)
    for i, colour in enumerate(colours):
        Image.new("RGB", (50, 40), tuple(int(c) for c in colour)).save(folder / f"{i}.png")
    return colours / 255


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["captions.count=0"], "captions.count=0 is not a whole number of 1 or more"),
        (["sampler.steps=1"], "sampler.steps=1 is too few for DDIM; pass 2 or more"),
        (["batch=two"], "batch=two is not a whole number of 1 or more"),
        (["guidance.rho=-1"], "guidance: Eq. (10) needs rho >= 0"),
        (["captions=coco"], "missing captions.path=..."),
        (["captions=coco", "captions.path=three.txt"], "three.txt has 3 captions, 10000 are needed"),
        (["real_images=missing"], "cannot read missing: No such file or directory; give a folder"),
        (["pipeline=sd", "pipeline.weights=."], "cannot load pipeline.weights=. ("),
        (["device=tpu"], "device=tpu is not one of auto, cpu, cuda"),
    ],
)
def test_bad_input_is_rejected_in_one_line(run, tmp_path, overrides, message):
    (tmp_path / "three.txt").write_text("one\ntwo\nthree\n")
    usual = [option for option in QUICK if option != "captions.count=2" or "captions=coco" not in overrides]
    done = run(*usual, *overrides)
    lines = [line for line in done.err.splitlines() if line.startswith("dcvsr: ")]
    assert (done.code, len(lines)) == (2, 1), done.err
    assert message in lines[0]
    assert not (tmp_path / "run/images").exists()

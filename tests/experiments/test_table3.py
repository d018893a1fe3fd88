"""The script of Table 3, on a small random Stable Diffusion."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

SCRIPT = Path(__file__).parents[2] / "experiments/table3/table3.py"
QUICK = ("--steps", "2", "--count", "2")


class Colours(nn.Module):
    """In Inception's place: the mean colour."""

    num_features = 3

    def forward(self, images: Tensor) -> Tensor:
        return images.float().mean((-2, -1)) / 255


@pytest.fixture
def table3(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, which asks nobody for Inception's weights."""
    spec = importlib.util.spec_from_file_location("table3", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    def missing(path: Path | None) -> Path:
        raise OSError("none here")

    monkeypatch.setattr(script, "inception_weights", missing)
    return script


def images(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.png"))}


def test_all_guidances_run_at_their_forwards_and_without_inception_nothing_is_scored(
    table3, tmp_path: Path, capsys
) -> None:
    table3.main([*QUICK, "--guidance", *table3.GUIDANCES, "--output", str(tmp_path)])
    results = json.loads((tmp_path / "results.json").read_text())["results"]
    forwards = {"none": 1, "cfg": 2, "sag": 3, "pag": 3, "dssag": 2}
    assert results == {name: {"images": 2, "forwards": forwards[name]} for name in table3.GUIDANCES}
    made = [images(tmp_path / name) for name in table3.GUIDANCES]
    assert [list(files) for files in made] == [["00000.png", "00001.png"]] * 5
    assert len({content for files in made for content in files.values()}) == 10
    row = "| dssag | 2 |  |  | 2 | 36.04 | 15.20 | 2 |"
    assert row in (tmp_path / "results.md").read_text().splitlines()
    out, err = capsys.readouterr()
    assert row in out
    assert "no IS and FID" in err
    assert "none here" in err


def test_a_stopped_run_goes_on_where_it_was(table3, tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    arguments = ["--steps", "2", "--guidance", "dssag", "--batch", "1", "--output"]
    table3.main([*arguments, str(whole), "--count", "3"])
    table3.main([*arguments, str(stopped), "--count", "1"])
    first = (stopped / "dssag/00000.png").stat().st_mtime_ns
    table3.main([*arguments, str(stopped), "--count", "3"])
    assert images(stopped / "dssag") == images(whole / "dssag")
    assert (stopped / "dssag/00000.png").stat().st_mtime_ns == first


def test_images_of_another_setting_are_not_mixed_in(table3, tmp_path: Path, capsys) -> None:
    arguments = [*QUICK, "--guidance", "cfg", "--output", str(tmp_path)]
    table3.main(arguments)
    assert refusal(table3, [*arguments, "--scale", "3"], capsys).endswith(
        f"{tmp_path}/cfg holds images of another run (scale 6.5 there, 3.0 here); give another --output"
    )


def test_weights_are_read_from_a_folder(table3, tmp_path: Path) -> None:
    table3.small_random().save_pretrained(tmp_path / "weights")
    captions = tmp_path / "captions.json"
    captions.write_text(json.dumps({"annotations": [{"caption": text} for text in table3.CAPTIONS]}))
    common = [*QUICK, "--guidance", "none", "--captions", str(captions), "--output"]
    table3.main([*common, str(tmp_path / "folder"), "--pipeline", str(tmp_path / "weights")])
    table3.main([*common, str(tmp_path / "built")])
    assert images(tmp_path / "folder/none") == images(tmp_path / "built/none")


def test_fid_is_the_frechet_distance_to_the_real_images(table3, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(table3, "inception", lambda output, path: Colours())
    real = tmp_path / "real"
    real.mkdir()
    colours = np.random.default_rng(0).integers(0, 256, (5, 3), dtype=np.uint8)
    for i, colour in enumerate(colours):
        Image.new("RGB", (50, 40), tuple(int(c) for c in colour)).save(real / f"{i}.png")
    table3.main(
        [
            "--steps",
            "2",
            "--count",
            "6",
            "--guidance",
            "cfg",
            "dssag",
            "--images",
            str(real),
            "--output",
            str(tmp_path),
        ]
    )
    results = json.loads((tmp_path / "results.json").read_text())["results"]
    for name in ("cfg", "dssag"):
        made = [np.asarray(Image.open(path)) / 255 for path in sorted((tmp_path / name).glob("*.png"))]
        means = np.stack([image.mean((0, 1)) for image in made])
        assert results[name]["fid"] == pytest.approx(frechet(colours / 255, means), rel=1e-3)
        assert results[name]["is"] >= 1


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Distance of two Gaussians fitted to ``n d`` each."""
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    roots = np.sqrt(np.linalg.eigvals(cov_a @ cov_b).astype(complex)).real
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b) - 2 * roots.sum())


def test_more_images_begin_with_the_same_captions(table3, tmp_path: Path) -> None:
    captions = tmp_path / "captions.txt"
    captions.write_text("one\ntwo\n\n three\nfour\n")
    assert table3.prompts(captions, 2, seed=5) == table3.prompts(captions, 4, seed=5)[:2]
    assert sorted(table3.prompts(captions, 4, seed=5)) == ["four", "one", "three", "two"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count", "0"], "--count must be at least 1, got 0"),
        (["--steps", "1"], "--steps must be at least 2, got 1"),
        (["--rho", "-1"], "--rho must be at least 0, got -1.0"),
        (["--pipeline", "weights"], "--pipeline needs --captions"),
        (["--pipeline", ".", "--captions", "three.txt"], "three.txt has 3 captions, 10000 are needed"),
        (["--pipeline", ".", "--captions", "three.txt", "--count", "3"], "cannot load --pipeline .: "),
        (["--captions", "missing.txt"], "cannot read missing.txt"),
        (["--captions", "list.json"], "list.json is no captions file of COCO"),
        (["--images", "missing"], "cannot read missing"),
        (["--images", "."], "FID needs two images or more: . holds 0, --count is 4"),
        (["--inception", "missing.pth"], "there is no file missing.pth"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    table3, arguments: list[str], message: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "three.txt").write_text("one\ntwo\nthree\n")
    (tmp_path / "list.json").write_text("[]")
    assert message in refusal(table3, arguments, capsys)


def refusal(table3, arguments: list[str], capsys) -> str:
    """The one line with which the script ends."""
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        table3.main(arguments)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("dcvsr: ")]
    return line


def test_another_file_than_inceptions_is_refused(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("table3", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    torch.save({}, tmp_path / "other.pth")
    with pytest.raises(script.UserError, match="expected SHA-256 6726825d"):
        script.inception_weights(tmp_path / "other.pth")

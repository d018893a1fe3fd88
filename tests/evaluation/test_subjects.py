"""Calibration subjects: images with published scores in a folder, and results on a dataset."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dcvsr.baselines.interpolation import Upsampling
from dcvsr.data.synthetic import Translation
from dcvsr.degradation.pipeline import bicubic
from dcvsr.evaluation.calibration.published_scores import PublishedScore
from dcvsr.evaluation.calibration.subjects import Scoreboard, ScoredImage, Subject, results
from dcvsr.evaluation.inputs import Sources
from dcvsr.imaging import to_bytes, upsample
from dcvsr.runtime.errors import UserError
from dcvsr.video.io import to_unit

CPU = torch.device("cpu")
PICTURE = ScoredImage("p0.png", "ref.png", "somebody", {"lpips": "0.722"})
BOARD = Scoreboard(
    "scores.csv", "dist_*", "ref_*", "somebody", {"niqe": ["niqe", "niqe_matlab"], "psnr": ["psnr"]}
)
SCORES = "Method,a.png,b.png\nniqe,1.25,2.50\nniqe_matlab,1.0,2.0\npsnr,21.10,30\nvif,0.1,0.2\n"


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("p0.png", "ref.png", "dist_a.png", "ref_a.png", "dist_b.png", "ref_b.png"):
        Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).save(tmp_path / name)
    (tmp_path / "scores.csv").write_text(SCORES)
    return tmp_path


def pixels(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)[None]


def test_an_image_is_read_with_its_reference(golden: Path) -> None:
    subject = PICTURE.subject(golden, CPU)
    ((name, restored, reference),) = subject.clips()
    assert reference is not None
    assert (name, subject.name) == ("p0.png", "p0.png")
    assert torch.equal(to_bytes(restored), pixels(golden / "p0.png"))
    assert torch.equal(to_bytes(reference), pixels(golden / "ref.png"))
    assert subject.published == [PublishedScore("lpips", "0.722", "somebody")]


def test_an_image_may_have_no_reference(golden: Path) -> None:
    ((_, restored, reference),) = ScoredImage("p0.png", None, "somebody", {}).subject(golden, CPU).clips()
    assert restored.shape == (1, 3, 6, 8)
    assert reference is None


def test_a_scoreboard_gives_each_image_the_scores_of_its_column(golden: Path) -> None:
    a, b = BOARD.subjects(golden, CPU)
    assert a.published == [
        PublishedScore("niqe", "1.25", "somebody, row niqe"),
        PublishedScore("niqe", "1.0", "somebody, row niqe_matlab"),
        PublishedScore("psnr", "21.10", "somebody, row psnr"),
    ]
    ((name, restored, reference),) = b.clips()
    assert reference is not None
    assert name == "dist_b.png"
    assert torch.equal(to_bytes(restored), pixels(golden / "dist_b.png"))
    assert torch.equal(to_bytes(reference), pixels(golden / "ref_b.png"))


def subjects(folder: Path) -> list[Subject]:
    return [PICTURE.subject(folder, CPU), *BOARD.subjects(folder, CPU)]


@pytest.mark.parametrize("name", ["p0.png", "ref.png", "scores.csv", "dist_a.png", "ref_b.png"])
def test_a_folder_that_lacks_a_file_is_rejected_before_scoring(golden: Path, name: str) -> None:
    subjects(golden)
    (golden / name).unlink()
    with pytest.raises(UserError, match=rf"golden={golden} lacks {name}; name a folder"):
        subjects(golden)


def test_an_unreadable_image_is_rejected_by_name(golden: Path) -> None:
    (golden / "p0.png").write_bytes((golden / "p0.png").read_bytes()[:60])
    with pytest.raises(UserError, match=r"p0\.png cannot be read as an image"):
        list(PICTURE.subject(golden, CPU).clips())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no scores"),
        ("Method\npsnr\n", "holds no scores"),
        (SCORES.replace("psnr", "PSNR"), "has no psnr of a.png"),
        (SCORES.replace("21.10,30", "21.10"), "has no psnr of b.png"),
        (SCORES.replace("2.50", "good"), "row niqe: niqe is 'good', which is not a number"),
        (SCORES.replace("Method", "method"), "lacks dist_method"),
    ],
)
def test_malformed_scoreboards_are_rejected(golden: Path, text: str, message: str) -> None:
    (golden / "scores.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        BOARD.subjects(golden, CPU)


def test_results_on_a_dataset_are_rounded_and_paired_with_hr() -> None:
    hr = Translation(seed=0, frames=2, height=32, width=40, dx=0.5, dy=0.2)
    published = [PublishedScore("psnr", "25.92", "Table 1")]
    sources = Sources({"clip": hr}, bicubic(4), 0, None)
    subject = results("bicubic on it", published, sources, Upsampling(), CPU)
    ((name, restored, reference),) = subject.clips()
    truth = to_unit(hr.read(0, 2))
    assert (subject.name, subject.published, name) == ("bicubic on it", published, "clip")
    assert torch.equal(reference, truth)  # type: ignore[arg-type]
    assert torch.equal(to_bytes(restored), to_bytes(upsample(sources.read("clip").lr)))
    assert torch.equal(restored, to_unit(to_bytes(restored)))

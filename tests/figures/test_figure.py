"""Tests of drawing figures from results."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dcvsr.data.clips import FrameFolder
from dcvsr.data.synthetic import Translation
from dcvsr.figures.boxes import Box, GivenBoxes, GivenFrames
from dcvsr.figures.exhibits import Exhibit, exhibits
from dcvsr.figures.figure import Comparison, Figure, Images
from dcvsr.figures.picture_grid import magnified, picture
from dcvsr.runtime.errors import UserError
from dcvsr.video.frame_folder import write_frames
from dcvsr.video.io import read_video

RESULTS = {"one": ["upscaler=bicubic"], "other": ["upscaler=dcvsr", "seed=1"]}
BOXES = Box(0, 0, 16, 16), Box(20, 12, 24, 20)
WHERE = {"frames": GivenFrames([0, 2]), "boxes": GivenBoxes(BOXES)}


@pytest.fixture(scope="module")
def shown() -> list[Exhibit]:
    clips = [Translation(seed=seed, frames=3, height=48, width=64, dx=0.5, dy=0.2) for seed in range(3)]
    return exhibits({"one": {"a": clips[0]}, "other": {"a": clips[1]}}, {}, {"a": clips[2]})


def is_in(sheet: np.ndarray, part: np.ndarray) -> bool:
    height, width, _ = part.shape
    tops, lefts = np.nonzero((sheet == part[0, 0]).all(-1))
    return any(
        np.array_equal(sheet[top : top + height, left : left + width], part)
        for top, left in zip(tops, lefts, strict=True)
    )


def test_the_figure_contains_every_box_of_every_frame_and_column(shown, tmp_path: Path) -> None:
    [path] = Figure({}, RESULTS, **WHERE).write(tmp_path / "f.1", shown)
    assert path == tmp_path / "f.1.png"
    sheet = np.asarray(Image.open(path))
    for read in shown[0].columns.values():
        for frame in (0, 2):
            for box in BOXES:
                assert is_in(sheet, np.asarray(magnified(picture(box.crop(read(frame))))))
        assert not is_in(sheet, np.asarray(magnified(picture(BOXES[0].crop(read(1))))))


def test_without_boxes_the_figure_contains_whole_frames(shown, tmp_path: Path) -> None:
    [path] = Figure({}, RESULTS, GivenFrames([1]), None).write(tmp_path / "f", shown)
    sheet = np.asarray(Image.open(path))
    assert all(is_in(sheet, np.asarray(magnified(picture(read(1))))) for read in shown[0].columns.values())


def test_a_comparison_video_contains_all_frames_of_all_columns(shown, tmp_path: Path) -> None:
    [path] = Comparison({}, RESULTS, crf=0).write(tmp_path / "f", shown)
    video = read_video(path).frames
    assert (path.name, len(video), video.shape[-1]) == ("a.mp4", 3, 128)
    for frame in range(3):
        for (top, left), read in zip([(0, 0), (0, 64), (66, 0)], shown[0].columns.values(), strict=True):
            cut = video[frame, :, top : top + 48, left : left + 64] / 255
            assert (cut - read(frame)).abs().mean() < 0.02


def test_images_uses_the_first_captions(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    write_frames(tmp_path / "images", pixels, ["00000", "00001", "00002"])
    (tmp_path / "captions.txt").write_text("a bus\na bus\na dog\n")
    clips = Images({}, RESULTS, GivenFrames([0]), None, count=2).kept(tmp_path, tmp_path)
    assert list(clips) == ["1. a bus", "2. a bus"]
    assert torch.equal(clips["2. a bus"].read(0, 1), FrameFolder(tmp_path / "images").read(1, 1))


def test_without_removes_columns_by_label() -> None:
    figure = Figure({"a": [], "b": []}, RESULTS, **WHERE).without(["b", "one"])
    assert (figure.rivals, figure.results) == ({"a": []}, {"other": RESULTS["other"]})


@pytest.mark.parametrize("labels", [["c"], ["a", "c"]])
def test_removing_a_missing_column_is_an_error(labels: list[str]) -> None:
    with pytest.raises(UserError, match="c is not a column; leave out some of a, one, other"):
        Figure({"a": []}, RESULTS, **WHERE).without(labels)


@pytest.mark.parametrize(
    ("rivals", "results", "message"),
    [
        ({}, {}, "results is empty"),
        ({"one": []}, RESULTS, "two columns are named one;"),
        ({"HR": []}, RESULTS, "two columns are named HR;"),
        ({"x": "upscaler=bicubic"}, RESULTS, "x: upscaler=bicubic is not a list of overrides"),
        ({}, {"x": [{"upscaler": "bicubic"}]}, "x: .* is not a list of overrides"),
        ({}, {"x": None}, "x: None is not a list of overrides"),
    ],
)
def test_invalid_columns_are_errors(rivals, results, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Figure(rivals, results, **WHERE)
